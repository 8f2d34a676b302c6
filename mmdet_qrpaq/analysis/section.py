"""How an analysis is declared: once, for its script and for the report.

A `section.py` in each room holds its declarations, without torch, so that `--help` is
quick. The work is in the module that a declaration names; see `Section`.
"""

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Option:
    """What a user can choose: a flag of the script, a keyword argument of the work.

    Attributes:
        name: Of the argument; its flag has dashes.
        default: As a JSON type.
        help: For the command line; the default is added.
        type: Turns a word into a value; see `share` and `count`.
        settings: More for `add_argument`: choices, nargs, metavar.
        formerly: Name of a flag that still works and is not told.
    """

    name: str
    default: Any
    help: str
    type: Callable[[str], Any] = str
    settings: tuple[tuple[str, Any], ...] = ()
    formerly: str = ''

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add the flag to a command line."""
        default = self.default
        if isinstance(default, list):
            default = ' '.join(map(str, default))
        parser.add_argument(
            f'--{self.name.replace("_", "-")}',
            default=self.default,
            help=self.help if default is None else f'{self.help} ({default})',
            type=self.type,
            **dict(self.settings),
        )
        if self.formerly:
            parser.add_argument(
                f'--{self.formerly}',
                dest=self.name,
                default=argparse.SUPPRESS,
                help=argparse.SUPPRESS,
                type=self.type,
                **dict(self.settings),
            )


@dataclass(frozen=True)
class Section:
    """An analysis: what it is called, what can be chosen, where it is done.

    Its module has

    - `SCHEMA`: JSON schema of its numbers;
    - `tables(numbers)`: list of `Table`;
    - either `measure(models, **options)`, which returns the numbers and a figure or
      None, or, where a run over the data does,
      `observe(model, **options)`, which returns an observer (see `one_pass`), and
      `conclude(models, observers, **options)`, which returns numbers and figure.

    and, where it matters which models come together, `settle(models, **options)`,
    which looks at all of them before anything is measured and returns the options as
    they suit them. It may be asked more than once.

    A `ConfigError` of these means that the analysis does not apply. Where the subject
    is runs, `models` are of class `Run`.

    Attributes:
        name: Of the tool and of its files.
        title: Heading.
        how: How it is measured, in some sentences.
        shows: What the figure shows, in one sentence; empty without a figure.
        module: Dotted name of the module that does it.
        options: What a user can choose.
        each: Whether models are looked at one by one.
        untrained: Whether `none` may stand in place of a checkpoint.
        subject: What it is about, `'models'` or `'runs'`: trained detectors, or the
            logs of trainings; see `training_runs`.
    """

    name: str
    title: str
    how: str
    shows: str
    module: str
    options: tuple[Option, ...] = ()
    each: bool = False
    untrained: bool = False
    subject: str = 'models'

    @property
    def work(self) -> ModuleType:
        """The module, imported when first asked for."""
        return importlib.import_module(f'mmdet_qrpaq.analysis.{self.module}')

    def choose(self, **chosen: Any) -> dict[str, Any]:
        """Return all options: defaults, but for those that are chosen."""
        return {o.name: chosen.get(o.name, o.default) for o in self.options}


def share(text: str) -> float:
    """Read a number between 0 and 1.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'must be between 0 and 1, got {text}')
    return value


def count(text: str, least: int = 1) -> int:
    """Read a whole number from 1, or from `least`.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(
            f'must be a whole number from {least}, got {text}'
        )
    return int(text)


SCORE_THRESHOLD = 'least score of a prediction that counts'
IOU_THRESHOLD = 'least IoU of a correct detection'


def thresholds(score: float, iou: float) -> tuple[Option, Option]:
    """Return the two options of analyses of detections."""
    return (
        Option('score_threshold', score, SCORE_THRESHOLD, share),
        Option('iou_threshold', iou, IOU_THRESHOLD, share),
    )
