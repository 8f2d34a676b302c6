"""Runs what is not recorded yet, several at a time, and records each."""

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

from .job import Job, last_checkpoint
from .plan import Run
from .record import read_digest, write_record

DIGEST = 'digest'
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
    if gpus is None:
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        threads = os.environ.get('OMP_NUM_THREADS', str(threads))
        return [{'OMP_NUM_THREADS': threads}] * jobs
    there = torch.cuda.device_count()
    if gpus > there:
        raise ConfigError(
            f'--gpus is {gpus}, and there are {there}; give fewer, or --jobs instead.'
        )
    shown = os.environ.get('CUDA_VISIBLE_DEVICES')
    names = shown.split(',') if shown else [str(index) for index in range(there)]
    return [{'CUDA_VISIBLE_DEVICES': name} for name in names[:gpus]]


class Sweep:
    """All runs of one command.

    Args:
        work_dir: For one folder a run.
        records: For one file a run.
        slots: See `make_slots`.
        after_each: Called after each recorded run.
        again: The option that keeps runs with other settings apart.

    Attributes:
        failed: The jobs that failed.
        num_recorded: Runs that were recorded before.

    Raises:
        ConfigError: A record or folder is there that was made with other settings.
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
        self.failed: list[Job] = []
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
                        job = self._prepare(self.pending.pop(0), free.pop(0))
                        jobs[job] = bars.add_task(job.run.label, total=1)
                        job.start_next()
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
                for job in jobs:
                    job.stop()

    def _is_recorded(self, run: Run) -> bool:
        """Refuse what was made with other settings."""
        record = self.records / f'{run.file_name}.json'
        folder = self.work_dir / run.file_name
        found = {}
        if record.exists():
            found[record] = read_digest(record)
        if (folder / DIGEST).exists():
            found[folder] = (folder / DIGEST).read_text()
        for place, digest in found.items():
            if digest != run.digest:
                raise ConfigError(
                    f'{place} was made with other settings or data than {run.label} '
                    f'has now; choose another {self.again}, or remove it.'
                )
        return record.exists()

    def _prepare(self, run: Run, slot: dict[str, str]) -> Job:
        """Write a run's config, which also says what a half-done run is of."""
        folder = self.work_dir / run.file_name
        folder.mkdir(parents=True, exist_ok=True)
        run.config.dump(folder / 'run.py')
        (folder / DIGEST).write_text(run.digest)
        return Job(run, folder, slot)

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
            path = self.records / f'{job.run.file_name}.json'
            record = write_record(
                job.run,
                job.folder,
                path,
                resident_mb=job.peak_mb,
                at_a_time=len(self.slots),
            )
        except Exception as error:  # whatever it is, the other runs go on
            self.failed.append(job)
            self._say(f'{job.run.label}: failed, see {job.log}\n    {error}')
            return True
        self._say(f'{job.run.label}: AP {record["measured"]["AP"]:.3f}')
        self._drop_older_checkpoints(job.folder)
        self.after_each()
        return True

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @staticmethod
    def _drop_older_checkpoints(folder: Path) -> None:
        for path in folder.glob('*.pth'):
            if path != last_checkpoint(folder) and not path.name.startswith('best_'):
                path.unlink()
