"""Does the runs that are not recorded yet, and keeps table and curves up to date."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..errors import ConfigError
from ..records.results import require_writable_folder
from .executors import LocalExecutor, SlurmExecutor, make_slots
from .job import DIGEST, LOG, Job
from .plan import Run
from .record import read_digest
from .summary import write_summary

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_A_DAY_S = 86400


def run_sweep(
    runs: Sequence[Run],
    args: argparse.Namespace,
    records: Path,
    summary: Path,
    again: str = '--work-dir',
) -> None:
    """Do what is not recorded; keep `table.md` and `curves.png` up to date.

    Args:
        args: What a parser with `add_sweep_options` and `--work-dir` returned.
        records: Folder of the records.
        summary: Folder of table and curves.
        again: The option that keeps runs with other settings apart.

    Raises:
        ConfigError: Options, or what lies there already, cannot work.
        SystemExit: A run failed (status 1), or Ctrl-C (130).
    """
    for folder in (args.work_dir, records, summary):
        require_writable_folder(str(folder), '--work-dir')
    _require_own_folders(runs)
    pending = [r for r in runs if not _is_recorded(r, args.work_dir, records, again)]
    if len(pending) < len(runs):
        print(f'{len(runs) - len(pending)} of {len(runs)} runs are recorded already.')
    if args.executor == 'slurm':
        executor = SlurmExecutor(args.work_dir / 'slurm', args.slurm)
    else:
        executor = LocalExecutor(make_slots(args.jobs, args.gpus))
    jobs = [
        Job(
            run,
            args.work_dir / run.file_name,
            records / f'{run.file_name}.json',
            executor.at_a_time,
        )
        for run in pending
    ]
    sweep = Sweep(jobs, executor, lambda: write_summary(runs, records, summary))
    with _ends_like_ctrl_c():
        try:
            sweep.run()
        except KeyboardInterrupt:
            print(f'\n{executor.stop()}')
            sys.exit(INTERRUPTED)
    write_summary(runs, records, summary)
    if sweep.failed:
        folders = (args.work_dir / run.file_name for run in sweep.failed)
        logs = '\n'.join(f'  {folder / LOG}' for folder in folders)
        print(f'{len(sweep.failed)} of {len(runs)} runs failed:\n{logs}')
        sys.exit(1)


class Sweep:
    """Jobs, done and watched; a failing one leaves the others alone.

    Args:
        executor: Where they are done.
        after_each: Called after each recorded run.

    Attributes:
        failed: The runs that failed.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        executor: LocalExecutor | SlurmExecutor,
        after_each: Any = lambda: None,
    ) -> None:
        self.jobs = jobs
        self.executor = executor
        self.after_each = after_each
        self.console = Console()
        self.failed: list[Run] = []

    def run(self) -> None:
        """Do all jobs.

        Raises:
            KeyboardInterrupt: What then goes on is the executor's matter.
        """
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
            overall = bars.add_task('', total=len(self.jobs))
            tasks = {}
            try:
                under_way = [(job, self.executor.submit(job)) for job in self.jobs]
                while under_way:
                    time.sleep(self.executor.poll_s)
                    for job, future in [pair for pair in under_way if pair[1].done()]:
                        under_way.remove((job, future))
                        if job in tasks:
                            bars.remove_task(tasks.pop(job))
                        self._conclude(job, future)
                    trained = len(self.jobs) - len(under_way)
                    text = f'{trained} of {len(self.jobs)} runs'
                    for job, _ in under_way:
                        if found := job.progress():
                            share, where = found
                            trained += share
                            task = tasks.get(job)
                            if task is None:
                                task = tasks[job] = bars.add_task('', total=1)
                            words = f'{job.run.label}: {where}'
                            bars.update(task, completed=share, description=words)
                    bars.update(overall, completed=trained, description=text)
            except Exception:
                self.executor.stop()
                raise

    def _conclude(self, job: Job, future: Any) -> None:
        """Say how a job ended."""
        try:
            problem = future.result()
            if problem is None:
                measured = json.loads(job.record.read_text())['measured']
                self._say(f'{job.run.label}: AP {measured["AP"]:.3f}')
                self.after_each()
        except Exception as error:  # of the cluster, or of the summary
            problem = str(error)
        if problem is not None:
            self.failed.append(job.run)
            self._say(f'{job.run.label}: failed, {problem}')

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _require_own_folders(runs: Sequence[Run]) -> None:
    names: dict[str, Run] = {}
    for run in runs:
        other = names.setdefault(run.file_name, run)
        if other is not run:
            raise ConfigError(
                f'{run.label} and {other.label} would share the folder '
                f'{run.file_name}; leave one out, or do it in a sweep of its own.'
            )


def _is_recorded(run: Run, work_dir: Path, records: Path, again: str) -> bool:
    """Refuse what was made with other settings."""
    record = records / f'{run.file_name}.json'
    folder = work_dir / run.file_name
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
                f'has now; choose another {again}, or remove it.'
            )
    return record.exists()


@contextmanager
def _ends_like_ctrl_c() -> Iterator[None]:
    """Treat a closed terminal or a kill as Ctrl-C.

    SIGINT too: a shell's background jobs start with it ignored.
    """
    before = {name: signal.signal(name, _interrupt) for name in SIGNALS}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _interrupt(*_: Any) -> None:
    # A second one must not keep the processes from being ended.
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    raise KeyboardInterrupt
