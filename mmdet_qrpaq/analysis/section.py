"""How an analysis is declared: once, for its script and for the report.

A `section.py` in each room holds its declarations, without torch, so that `--help` is
quick. The work is in the module that a declaration names; see `Section`.
"""

import argparse
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..command_line import share
from .subjects import Models, Runs


@dataclass(frozen=True)
class Option:
    """What a user can choose: a flag of the script, a keyword argument of the work.

    Attributes:
        name: Of the argument; its flag has dashes.
        default: As a JSON type.
        help: For the command line; the default is added.
        type: Turns a word into a value; see `share` and `count` of `command_line`.
        nargs, metavar, choices: As of `add_argument`.
        formerly: Name of a flag that still works and is not told.
    """

    name: str
    default: Any
    help: str
    type: Callable[[str], Any] = str
    nargs: str | None = None
    metavar: str | None = None
    choices: Sequence[str] | None = None
    formerly: str = ''

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add the flag to a command line."""
        default = self.default
        if isinstance(default, list):
            default = ' '.join(map(str, default))
        help = self.help if default is None else f'{self.help} ({default})'
        flags = {self.name.replace('_', '-'): (self.default, help)}
        if self.formerly:
            flags[self.formerly] = (argparse.SUPPRESS, argparse.SUPPRESS)
        for flag, (default, help) in flags.items():
            parser.add_argument(
                f'--{flag}',
                dest=self.name,
                default=default,
                help=help,
                type=self.type,
                nargs=self.nargs,
                metavar=self.metavar,
                choices=self.choices,
            )


@dataclass(frozen=True)
class Section:
    """An analysis: what it is called, what can be chosen, where it is done.

    Its module has

    - `SCHEMA`: JSON schema of its numbers;
    - `tables(numbers)`: list of `Table`;
    - either `measure(models, **options)`, which returns the numbers and a figure or
      None, or, where a run over the data does,
      `observe(models, **options)`, which returns an observer for each (see `one_pass`),
      and `conclude(models, observers)`, which returns numbers and figure.

    A `ConfigError` of these means that the analysis does not apply. Where the subject
    is `Runs`, `models` are of class `Run`.

    Attributes:
        name: Of the tool and of its files.
        title: Heading.
        how: How it is measured, in some sentences.
        shows: What the figure shows, in one sentence; empty without a figure.
        module: Dotted name of the module that does it.
        options: What a user can choose.
        subject: What it is about: trained detectors, or the logs of trainings.
    """

    name: str
    title: str
    how: str
    shows: str
    module: str
    options: tuple[Option, ...] = ()
    subject: Models | Runs = Models()

    @property
    def work(self) -> ModuleType:
        """The module, imported when first asked for."""
        return importlib.import_module(f'mmdet_qrpaq.analysis.{self.module}')

    def choose(self, **chosen: Any) -> dict[str, Any]:
        """Return all options: defaults, but for those that are chosen."""
        return {o.name: chosen.get(o.name, o.default) for o in self.options}


SCORE_THRESHOLD = 'least score of a prediction that counts'
IOU_THRESHOLD = 'least IoU of a correct detection'


def thresholds(score: float, iou: float) -> tuple[Option, Option]:
    """Return the two options of analyses of detections."""
    return (
        Option('score_threshold', score, SCORE_THRESHOLD, share),
        Option('iou_threshold', iou, IOU_THRESHOLD, share),
    )
