"""The options that commands over sweeps share. Standard library only."""

import argparse


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add seeds, data, budget and how many runs go on at a time."""
    parser.add_argument('--seeds', type=_count, nargs='+', default=[0], metavar='N')
    parser.add_argument(
        '--data',
        metavar='FOLDER',
        help='train and evaluate on this COCO-format folder: instances_train.json, '
        'instances_val.json and images/, or the layout of docs/data.md',
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        '--epochs', type=_positive, help='length of a run; the schedule is stretched'
    )
    length.add_argument(
        '--iterations', type=_positive, help='length of a run, in mini-batches'
    )
    parser.add_argument(
        '--image-size',
        type=_positive,
        metavar='PIXELS',
        help='longest side of all pictures, instead of random sizes and crops',
    )
    parser.add_argument('--batch-size', type=_positive, metavar='N')
    at_a_time = parser.add_mutually_exclusive_group()
    at_a_time.add_argument(
        '--jobs',
        type=_positive,
        default=1,
        metavar='N',
        help='runs at a time, which share out the processor cores (1)',
    )
    at_a_time.add_argument(
        '--gpus', type=_positive, metavar='N', help='one run at a time on each of N'
    )


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f'{text} is not at least 1')
    return number


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f'{text} is below 0')
    return number
