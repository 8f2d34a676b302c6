"""Runs what is not recorded yet, several at a time, and records each."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.results import write_json

from .environment import describe_environment
from .job import Job, last_checkpoint, stop
from .plan import Run
from .record import read_digest, write_record

# Files in a run's folder: what it is of, and what it was started with.
DIGEST = 'digest'
STARTED_WITH = 'environment.json'
POLL_S = 0.2
_A_DAY_S = 86400


def make_slots(jobs: int = 1, gpus: int | None = None) -> list[dict[str, str]]:
    """Return what each run of those going on at a time adds to its environment.

    Args:
        jobs: Runs at a time; they share out the processor cores.
        gpus: Instead, one run on each of so many GPUs.

    Raises:
        ConfigError: There are fewer GPUs.
    """
    threads = os.environ.get('OMP_NUM_THREADS', '')
    if not threads.isdecimal():  # unset, or a list by nesting level
        threads = str(max(1, len(os.sched_getaffinity(0)) // (gpus or jobs)))
    slot = {'OMP_NUM_THREADS': threads}
    if gpus is None:
        return [slot] * jobs
    there = torch.cuda.device_count()
    if gpus > there:
        raise ConfigError(
            f'--gpus is {gpus}, and there are {there}; give fewer, or --jobs instead.'
        )
    shown = os.environ.get('CUDA_VISIBLE_DEVICES')
    names = shown.split(',') if shown else [str(index) for index in range(there)]
    return [dict(slot, CUDA_VISIBLE_DEVICES=name) for name in names[:gpus]]


class Sweep:
    """All runs of one command.

    Args:
        work_dir: For one folder a run.
        records: For one file a run.
        slots: See `make_slots`.
        after_each: Called after each recorded run.
        again: The option that keeps runs with other settings apart.

    Attributes:
        failed: The runs that failed.
        num_recorded: Runs that were recorded before.

    Raises:
        ConfigError: A record or folder is there that was made with other settings, or
            two runs would share one.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        work_dir: Path,
        records: Path,
        slots: list[dict[str, str]],
        after_each: Callable[[], object] = lambda: None,
        again: str = '--work-dir',
    ) -> None:
        self.work_dir = work_dir
        self.records = records
        self.slots = slots
        self.after_each = after_each
        self.again = again
        self.console = Console()
        self.failed: list[Run] = []
        names: dict[str, Run] = {}
        for run in runs:
            other = names.setdefault(run.file_name, run)
            if other is not run:
                raise ConfigError(
                    f'{run.label} and {other.label} would share the folder '
                    f'{run.file_name}; leave one out, or give it a --work-dir of its '
                    'own.'
                )
        self.pending = [run for run in runs if not self._is_recorded(run)]
        self.num_recorded = len(runs) - len(self.pending)

    def go(self) -> None:
        """Run everything; a failing run leaves the others alone.

        Raises:
            KeyboardInterrupt: After its processes have ended.
        """
        total = len(self.pending)
        free, jobs = list(self.slots), {}
        columns = (
            TextColumn('{task.description}'),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        # The time that remains is told by the speed so far, not of the last seconds.
        with Progress(
            *columns, console=self.console, speed_estimate_period=_A_DAY_S
        ) as bars:
            overall = bars.add_task('', total=total)
            try:
                while self.pending or jobs:
                    while self.pending and free:
                        run = self.pending.pop(0)
                        if job := self._start(run, free[0]):
                            free.remove(job.slot)
                            jobs[job] = bars.add_task(run.label, total=1)
                    time.sleep(POLL_S)
                    under_way = 0.0
                    for job in list(jobs):
                        if self._has_ended(job):
                            free.append(job.slot)
                            bars.remove_task(jobs.pop(job))
                            continue
                        share, where = job.progress()
                        under_way += share
                        text = f'{job.run.label}: {where}'
                        bars.update(jobs[job], completed=share, description=text)
                    done = total - len(self.pending) - len(jobs)
                    text = f'{done} of {total} runs'
                    bars.update(overall, completed=done + under_way, description=text)
            finally:
                stop(jobs)

    def _is_recorded(self, run: Run) -> bool:
        """Refuse what was made with other settings."""
        record = self.records / f'{run.file_name}.json'
        folder = self.work_dir / run.file_name
        found = {}
        if record.exists():
            found[record] = read_digest(record)
        if (folder / DIGEST).exists():
            found[folder] = (folder / DIGEST).read_text()
        elif (folder / 'last_checkpoint').exists():
            found[folder] = None  # trained by something else
        for place, digest in found.items():
            if digest != run.digest:
                raise ConfigError(
                    f'{place} was made with other settings or data than {run.label} '
                    f'has now; choose another {self.again}, or remove it.'
                )
        return record.exists()

    def _start(self, run: Run, slot: dict[str, str]) -> Job | None:
        """Start a run; None if that fails, which leaves the others alone."""
        folder = self.work_dir / run.file_name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            job = Job(run, folder, slot)
            run.config.dump(folder / 'run.py')
            (folder / DIGEST).write_text(run.digest)
            _note_environment(folder)
            job.start_next()
        except (ConfigError, OSError) as error:
            self._fail(run, str(error))
            return None
        return job

    def _has_ended(self, job: Job) -> bool:
        """Start a run's next step when one ends; True after the last, or a failure."""
        job.watch_memory()
        status = job.process.poll()
        if status is None:
            return False
        try:
            if status:
                raise ConfigError(f'status {status}: {job.last_words()}')
            if job.start_next():
                return False
            record = write_record(
                job.run,
                job.folder,
                self.records / f'{job.run.file_name}.json',
                environment=json.loads((job.folder / STARTED_WITH).read_text()),
                resident_mb=job.peak_mb,
                at_a_time=len(self.slots),
                threads=int(job.slot['OMP_NUM_THREADS']),
            )
            self._say(f'{job.run.label}: AP {record["measured"]["AP"]:.3f}')
            self._drop_older_checkpoints(job.folder)
            self.after_each()
        except Exception as error:  # whatever it is, the other runs go on
            self._fail(job.run, f'see {job.log}\n    {error}')
        job.close()
        return True

    def _fail(self, run: Run, why: str) -> None:
        self.failed.append(run)
        self._say(f'{run.label}: failed, {why}')

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @staticmethod
    def _drop_older_checkpoints(folder: Path) -> None:
        for path in folder.glob('*.pth'):
            if path != last_checkpoint(folder) and not path.name.startswith('best_'):
                path.unlink()


def _note_environment(folder: Path) -> None:
    """Keep what a run started with; one that goes on with other code says so."""
    path = folder / STARTED_WITH
    now = describe_environment()
    if path.exists():
        before = json.loads(path.read_text())
        if now['commit'] and now['commit'] not in (before['commit'] or ''):
            now['commit'] = f'{before["commit"]}, then {now["commit"]}'
        now['dirty'] = now['dirty'] or before['dirty']
    write_json(path, now)
