"""One run: training, then what is measured on the trained model, then its record."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ..errors import ConfigError
from ..records.provenance import describe_environment, typed_command
from ..records.results import write_json
from . import BESIDE, HOME
from .plan import Run
from .record import LAST_VALIDATION, MEASURES, is_validated, write_record

TOOLS = BESIDE / 'tools'
MEASURE = f'{__package__}.measure_model'
# Files in a run's folder: what it is of, what it was started with, what it printed.
DIGEST = 'digest'
STARTED_WITH = 'environment.json'
LOG = 'run.log'
LOCK = 'lock'
# 'Epoch(train)  [2][ 40/100]' or 'Iter(train) [ 40/200]', as mmengine logs it.
_LOGGED = re.compile(
    r'(?:Epoch\(train\)\s+\[(\d+)\]|Iter\(train\)\s+)\[\s*(\d+)/(\d+)\]'
)
TAIL_BYTES = 20_000
PATIENCE_S = 10
POLL_S = 0.2
# Of threads: a job that is stopped must start no process; yapf formats one config.
_STARTING, _WRITING = threading.Lock(), threading.Lock()


def package_path() -> dict[str, str]:
    """Return the environment in which Python finds this very package first.

    An installed package is found as it is. Before Python 3.11, `python -m` looks in the
    folder that it is started in even so.
    """
    if BESIDE != HOME:
        return {}
    paths = [str(HOME), *filter(None, [os.environ.get('PYTHONPATH')])]
    return {'PYTHONPATH': os.pathsep.join(paths), 'PYTHONSAFEPATH': '1'}


class Job:
    """All of a run, done when it is called, in this process or, pickled, in another.

    Its steps are processes. The folder is locked until the last of them has ended, even
    if the sweep itself was killed.

    Args:
        folder: For checkpoints and logs.
        record: File for what was measured.
        at_a_time: How many runs share the machine.
    """

    def __init__(self, run: Run, folder: Path, record: Path, at_a_time: int) -> None:
        self.run = run
        self.folder = folder
        self.record = record
        self.at_a_time = at_a_time
        self.log = folder / LOG
        self._logged_before = self._log_size()
        self._typed = typed_command()
        self._tools, self._measure = TOOLS, MEASURE
        self._process: subprocess.Popen | None = None
        self._stopped = False

    def __call__(self, slot: dict[str, str]) -> str | None:
        """Do the run; return what went wrong, or None.

        Args:
            slot: See `make_slots`.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder) as lock:
                self._perform(slot, lock)
        except Exception as error:  # whatever it is, the other runs go on
            return f'see {self.log}\n    {error}'
        return None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process cannot have."""
        return dict(self.__dict__, _process=None)

    def _perform(self, slot: dict[str, str], lock: TextIO) -> None:
        config = self.folder / 'run.py'
        with _WRITING:
            self.run.config.dump(config)
        (self.folder / DIGEST).write_text(self.run.digest)
        environment = self._note_environment()
        to = ['--work-dir', self.folder, '--resume']
        peak = self._step([self._tools / 'train.py', config, *to], slot, lock)
        model = [config, last_checkpoint(self.folder)]
        if not is_validated(self.run, self.folder):
            to = ['--work-dir', self.folder / LAST_VALIDATION]
            self._step([self._tools / 'test.py', *model, *to], slot, lock)
        self._step(['-m', self._measure, *model, self.folder / MEASURES], slot, lock)
        write_record(
            self.run,
            self.folder,
            self.record,
            environment=environment,
            resident_mb=peak,
            at_a_time=self.at_a_time,
            threads=int(slot['OMP_NUM_THREADS']),
        )
        for path in self.folder.glob('*.pth'):
            if path != model[1] and not path.name.startswith('best_'):
                path.unlink()

    def _note_environment(self) -> dict[str, Any]:
        """Keep what a run started with; one that goes on with other code says so."""
        path = self.folder / STARTED_WITH
        now = dict(describe_environment(), command=self._typed)
        if path.exists():
            before = json.loads(path.read_text())
            if now['commit'] and now['commit'] not in (before['commit'] or ''):
                now['commit'] = f'{before["commit"]}, then {now["commit"]}'
            now['dirty'] = now['dirty'] or before['dirty']
        write_json(path, now)
        return now

    def _step(self, command: list, slot: dict[str, str], lock: TextIO) -> float | None:
        """Run Python; return its peak of resident memory, MiB, if the system tells.

        Raises:
            ConfigError: It failed, or the job was stopped.
        """
        peak = None
        with _STARTING, self.log.open('a') as log:
            if self._stopped:
                raise ConfigError('it was stopped.')
            command = [sys.executable, *map(str, command)]
            print('$', *command, file=log, flush=True)
            self._process = process = subprocess.Popen(
                command,
                env={**os.environ, **package_path(), **slot},
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C then reaches the sweep alone, which ends the whole family.
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        try:
            while (status := process.poll()) is None:
                peak = _peak_mb(process) or peak
                time.sleep(POLL_S)
        except BaseException:  # a cluster takes the machine back
            stop([self])
            raise
        if status:
            raise ConfigError(f'status {status}: {self._last_words()}')
        self._process = None
        return peak

    def progress(self) -> tuple[float, str] | None:
        """Return the share of training that is done and where it is; None before."""
        size = self._log_size()
        if size <= self._logged_before:
            return None
        with self.log.open('rb') as log:
            log.seek(max(self._logged_before, size - TAIL_BYTES))
            found = _LOGGED.findall(log.read().decode(errors='replace'))
        if not found:
            return 0.0, 'starting'
        epoch, step, steps = found[-1]
        if not epoch:
            return int(step) / int(steps), f'iteration {step} of {steps}'
        done = (int(epoch) - 1 + int(step) / int(steps)) / self.run.length
        return min(1.0, done), f'epoch {epoch} of {self.run.length}'

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _last_words(self) -> str:
        lines = self.log.read_text(errors='replace').splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), '')


def stop(jobs: Iterable[Job]) -> None:
    """End the jobs' processes and their children; none of them starts another."""
    with _STARTING:
        for job in jobs:
            job._stopped = True
        running = [job._process for job in jobs if job._process is not None]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S)


def last_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint; the folder may have moved since it was written."""
    return folder / Path((folder / 'last_checkpoint').read_text().strip()).name


@contextmanager
def locked(folder: Path) -> Iterator[TextIO]:
    """Hold a file of the folder; whoever inherits it holds it too.

    Raises:
        ConfigError: Another process holds it.
    """
    with (folder / LOCK).open('w') as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f'another process is still at work in {folder}; stop it, or wait for '
                'it.'
            ) from error
        except OSError:
            pass  # a file system without locks, as some of clusters
        yield held


def _peak_mb(process: subprocess.Popen) -> float | None:
    """Return the peak memory of a process; it is lost once the process is gone."""
    try:
        status = Path(f'/proc/{process.pid}/status').read_text()
    except OSError:
        return None
    found = re.search(r'VmHWM:\s+(\d+) kB', status)
    return found and round(int(found[1]) / 1024, 1)
