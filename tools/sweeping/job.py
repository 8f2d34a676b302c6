"""One run in progress: training, then what is measured on the trained model."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .plan import Run
from .record import LAST_VALIDATION, MEASURES, is_validated

TOOLS = Path(__file__).resolve().parents[1]
LOG = 'run.log'
# 'Epoch(train)  [2][ 40/100]' or 'Iter(train) [ 40/200]', as mmengine logs it.
_LOGGED = re.compile(
    r'(?:Epoch\(train\)\s+\[(\d+)\]|Iter\(train\)\s+)\[\s*(\d+)/(\d+)\]'
)
TAIL_BYTES = 20_000
PATIENCE_S = 10


class Job:
    """The steps of a run one after another, each a process.

    Args:
        folder: For checkpoints and logs; `run.py` is there.
        slot: Added to the environment.

    Attributes:
        peak_mb: Largest resident memory of the training process in MiB, where the
            system tells.
    """

    def __init__(self, run: Run, folder: Path, slot: dict[str, str]) -> None:
        self.run = run
        self.folder = folder
        self.slot = slot
        self.log = folder / LOG
        self.peak_mb: float | None = None
        self.process: subprocess.Popen | None = None
        self._steps = self._make_steps()
        self._trains = True

    def start_next(self) -> bool:
        """Start the next step; False after the last one."""
        self._trains = self.process is None
        command = next(self._steps, None)
        if command is None:
            return False
        with self.log.open('a') as log:
            self.process = subprocess.Popen(
                list(map(str, command)),
                env={**os.environ, **self.slot},
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C then reaches the sweep alone, which ends the whole family.
                start_new_session=True,
            )
        return True

    def _make_steps(self) -> Iterator[list]:
        config = self.folder / 'run.py'
        python = sys.executable
        train = [python, TOOLS / 'train.py', config]
        yield [*train, '--work-dir', self.folder, '--resume']
        checkpoint = last_checkpoint(self.folder)
        if not is_validated(self.run, self.folder):
            test = [python, TOOLS / 'test.py', config, checkpoint]
            yield [*test, '--work-dir', self.folder / LAST_VALIDATION]
        measure = [python, TOOLS / 'sweeping' / 'measure_model.py', config, checkpoint]
        yield [*measure, self.folder / MEASURES]

    def watch_memory(self) -> None:
        """Look at the peak of the training process, which it takes with it."""
        try:
            status = Path(f'/proc/{self.process.pid}/status').read_text()
        except OSError:
            return
        if self._trains and (found := re.search(r'VmHWM:\s+(\d+) kB', status)):
            self.peak_mb = round(int(found[1]) / 1024, 1)

    def progress(self) -> tuple[float, str]:
        """Return the share of training that is done, and where it is."""
        with self.log.open('rb') as log:
            log.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            found = _LOGGED.findall(log.read().decode(errors='replace'))
        if not found:
            return 0.0, 'starting'
        epoch, step, steps = found[-1]
        if not epoch:
            return int(step) / int(steps), f'iteration {step} of {steps}'
        done = (int(epoch) - 1 + int(step) / int(steps)) / self.run.length
        return min(1.0, done), f'epoch {epoch} of {self.run.length}'

    def stop(self) -> None:
        """End the process and its children."""
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(PATIENCE_S)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def last_words(self) -> str:
        """Return the last line of the log."""
        lines = self.log.read_text(errors='replace').splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), '')


def last_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint; the folder may have moved since it was written."""
    return folder / Path((folder / 'last_checkpoint').read_text().strip()).name
