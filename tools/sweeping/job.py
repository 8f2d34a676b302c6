"""One run in progress: training, then what is measured on the trained model."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from mmdet_qrpaq.errors import ConfigError

from .plan import Run
from .record import LAST_VALIDATION, MEASURES, is_validated

TOOLS = Path(__file__).resolve().parents[1]
LOG = 'run.log'
LOCK = 'lock'
# 'Epoch(train)  [2][ 40/100]' or 'Iter(train) [ 40/200]', as mmengine logs it.
_LOGGED = re.compile(
    r'(?:Epoch\(train\)\s+\[(\d+)\]|Iter\(train\)\s+)\[\s*(\d+)/(\d+)\]'
)
TAIL_BYTES = 20_000
PATIENCE_S = 10


class Job:
    """The steps of a run one after another, each a process.

    The folder is locked until the last of these processes has ended, even if the sweep
    itself was killed.

    Args:
        folder: For checkpoints and logs.
        slot: Added to the environment.

    Attributes:
        peak_mb: Largest resident memory of the training process in MiB, where the
            system tells.

    Raises:
        ConfigError: Another process trains in the folder.
    """

    def __init__(self, run: Run, folder: Path, slot: dict[str, str]) -> None:
        self.run = run
        self.folder = folder
        self.slot = slot
        self.log = folder / LOG
        self.peak_mb: float | None = None
        self.process: subprocess.Popen | None = None
        self._lock = _lock(folder)
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
                pass_fds=[self._lock.fileno()],
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

    def close(self) -> None:
        """Let others use the folder, once the processes have ended."""
        self._lock.close()

    def last_words(self) -> str:
        """Return the last line of the log."""
        lines = self.log.read_text(errors='replace').splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), '')


def stop(jobs: Iterable[Job]) -> None:
    """End the processes and their children: ask all of them, then wait for each."""
    jobs = list(jobs)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for job in jobs:
            with suppress(ProcessLookupError):
                os.killpg(job.process.pid, number)
        for job in jobs:
            with suppress(subprocess.TimeoutExpired):
                job.process.wait(PATIENCE_S)
    for job in jobs:
        job.close()


def last_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint; the folder may have moved since it was written."""
    return folder / Path((folder / 'last_checkpoint').read_text().strip()).name


def _lock(folder: Path) -> TextIO:
    """Hold a file of the folder; whoever inherits it holds it too."""
    held = (folder / LOCK).open('w')
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        held.close()
        raise ConfigError(
            f'another process is still at work in {folder}; stop it, or wait for it.'
        ) from error
    except OSError:
        pass  # a file system without locks, as some of clusters
    return held
