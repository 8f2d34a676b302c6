"""The options that commands over sweeps share. Standard library only."""

import argparse


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add seeds, data, budget, and where and how many at a time the runs are done."""
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
        help='longest side of all images, instead of random sizes and crops',
    )
    parser.add_argument('--batch-size', type=_positive, metavar='N')
    parser.add_argument(
        '--executor',
        choices=['local', 'slurm'],
        default='local',
        help='where the runs are done: on this machine (local), or on a cluster',
    )
    at_a_time = parser.add_mutually_exclusive_group()
    at_a_time.add_argument(
        '--jobs',
        type=_positive,
        default=1,
        metavar='N',
        help='runs at a time on this machine, which share out the processor cores (1)',
    )
    at_a_time.add_argument(
        '--gpus', type=_positive, metavar='N', help='one run at a time on each of N'
    )
    at_a_time.add_argument(
        '--slurm',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='options of sbatch for each run of --executor slurm: time=MINUTES, and '
        'what the cluster wants, e.g. partition=gpu cpus-per-task=8',
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is no whole number from 1')
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text} is no whole number from 0')
    return int(text)
