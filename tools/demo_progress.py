"""Runs a command of the demo, and tells how far its training is; used by `demo.py`.

The progress is read from what the training prints, which goes to a log.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bootstrap_lib.running import SetupError, run_logged

QUIET_EVERY_S = 10  # without a terminal: one line of progress this often

BAR = 20  # characters
# mmengine's lines: epoch, iteration, iterations an epoch, time left, loss; epoch, AP.
STEP = re.compile(
    r'Epoch\(train\) +\[(\d+)\]\[ *(\d+)/(\d+)\] .*?eta: (.+?)  .*?  loss: (\S+)'
)
VALIDATION = re.compile(r'Epoch\(val\) +\[\d+\].*bbox_mAP: (\S+) .*bbox_mAP_50: (\S+)')
# Of the config, which it prints before.
EPOCHS = re.compile(r'^train_cfg = dict\([^)]*max_epochs=(\d+)', re.MULTILINE)


class Stop(Exception):
    """The demo cannot go on: a sentence for the user and an exit status."""

    def __init__(self, sentence: str, status: int = 2) -> None:
        super().__init__(sentence)
        self.status = status


def call(
    arguments: list[Any],
    log: Path,
    what: str,
    describe: Callable[[str, float], str] | None = None,
    verbose: bool = False,
) -> None:
    """Run Python with arguments; whatever ends this process ends that one too.

    Args:
        arguments: What follows `python`.
        log: Takes what it prints.
        what: Names it on the screen.
        describe: Turns (end of the log, seconds so far) into the line that tells how
            far it is.
        verbose: Show what it prints, in place of that line.

    Raises:
        Stop: It failed; the end of the log says why.
    """
    try:
        run_logged(
            [sys.executable, *map(str, arguments)],
            log,
            what,
            env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            describe=describe or (lambda *_: f'{what} ...'),
            reason_in=lambda _: '',
            quiet_every=QUIET_EVERY_S,
            echo=verbose,
        )
    except SetupError as error:
        raise Stop(str(error), 1) from None


class TrainingProgress:
    """Turns the end of a training's log into one line.

    Called again and again: what has left the end of the log is remembered.
    """

    def __init__(self) -> None:
        self.epochs = None
        self.step = self.seen_at = None
        self.precision = ''

    def describe(self, log: str, seconds: float) -> str:
        """Return the line.

        Args:
            log: End of the log so far.
            seconds: Since the start.
        """
        if found := EPOCHS.search(log):
            self.epochs = int(found[1])
        if found := _last(VALIDATION, log):
            self.precision = f'  AP {float(found[1]):.2f}  AP50 {float(found[2]):.2f}'
        found = _last(STEP, log)
        if found and (self.step is None or found[0] != self.step[0]):
            self.step, self.seen_at = found, seconds
        if self.step is None:
            doing = 'building the model' if self.epochs else 'loading PyTorch, mmdet'
            return f'{_bar(0)}  0%  starting: {doing} ...'
        epoch, done, steps, eta, loss = self.step.groups()
        told = f'loss {float(loss):.2f}{self.precision}'
        if self.epochs is None:  # not that the log would lack it
            return f'training: epoch {epoch}, {told}'
        share = (int(epoch) - 1 + int(done) / int(steps)) / self.epochs
        left = max(0, _seconds(eta) - (seconds - self.seen_at))
        left = f'{int(left) // 60}:{int(left) % 60:02d} left'
        if share == 1:
            left = 'last validation'
        return f'{_bar(share)}{share:4.0%}  {left}  {told}'


def _last(pattern: re.Pattern, text: str) -> re.Match | None:
    """Return the last match."""
    found = [*pattern.finditer(text)]
    return found[-1] if found else None


def _seconds(eta: str) -> int:
    """Read `0:09:22`, or `1 day, 0:09:22`."""
    days, _, clock = eta.rpartition('day')
    hours, minutes, seconds = re.search(r'(\d+):(\d+):(\d+)', clock).groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds)


def _bar(share: float) -> str:
    """Draw a share as a bar, where there is a terminal to draw it on."""
    if not sys.stdout.isatty():
        return 'training: '
    full = round(BAR * share)
    return f'[{"#" * full}{"." * (BAR - full)}] '
