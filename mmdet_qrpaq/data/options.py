"""The options of a run that need no knowledge of its config. Standard library only."""

import argparse
import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from ..command_line import count
from ..presets.catalogue import PRESETS


@dataclass(frozen=True)
class RunOptions:
    """What a command line says about a run; None leaves it to the config or the data.

    Attributes:
        epochs: Length of a run, or
        iterations: its length in mini-batches.
        batch_size: Images a mini-batch, on each device.
        image_size: Longest side of the images, pixels.
        lr: Learning rate.
        seed: For weights, data order, augmentation and denoising.
        preset: Words that switch presets on.
    """

    epochs: int | None = None
    iterations: int | None = None
    batch_size: int | None = None
    image_size: int | None = None
    lr: float | None = None
    seed: int | None = None
    preset: list[str] | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Any:
        """Return what a command line says; a flag that it lacks is None."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: getattr(args, name) for name in names if name in args})


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a data set."""
    parser.add_argument(
        '--data',
        metavar='FOLDER',
        help='a folder in the COCO, YOLO, VOC or labelme layout; the config is fitted '
        'to it (docs/your-data.md)',
    )
    parser.add_argument(
        '--crowd-as-objects',
        action='store_true',
        help='with --data: objects marked iscrowd are objects like any other',
    )


def add_run_options(
    parser: argparse.ArgumentParser, length: argparse._ActionsContainer | None = None
) -> None:
    """Add what a command may say about the size of a run.

    Args:
        length: A group of the parser that `--epochs` shares with other lengths.
    """
    (length or parser).add_argument(
        '--epochs', type=count, help='length of a run; the schedule is stretched'
    )
    parser.add_argument(
        '--batch-size', type=count, metavar='N', help='images a mini-batch and device'
    )
    parser.add_argument(
        '--image-size',
        type=count,
        metavar='PIXELS',
        help='longest side of all images, instead of random sizes and crops',
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the plain flags of one training."""
    add_run_options(parser)
    parser.add_argument('--lr', type=_rate, metavar='RATE', help='learning rate')
    parser.add_argument(
        '--seed',
        type=partial(count, least=0),
        metavar='N',
        help='of all random numbers',
    )
    parser.add_argument(
        '--preset',
        nargs='+',
        action='extend',
        metavar='NAME',
        help=f'ways of training (docs/presets.md): {", ".join(PRESETS)}; NAME=NUMBER '
        'where one can be set, e.g. --preset ema gradient_accumulation=8',
    )


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'must be a number above 0, got {text}')
    return value
