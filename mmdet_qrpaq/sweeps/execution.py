"""Does the runs that are not recorded yet, and keeps table and curves up to date."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import Progress, TimeElapsedColumn

from ..command_line import INTERRUPTED
from ..errors import ConfigError
from ..records.results import require_writable_folder
from .executors import LocalExecutor, SlurmExecutor, make_slots
from .job import DIGEST, LOG, Job
from .plan import Run
from .record import read_digest
from .summary import write_summary

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
    with _noticing_ctrl_c() as pressed:
        try:
            failed = do_jobs(
                jobs, executor, lambda: write_summary(runs, records, summary), pressed
            )
        except KeyboardInterrupt:
            print(f'\n{executor.stop()}')
            sys.exit(INTERRUPTED)
        finally:
            executor.stop()
    write_summary(runs, records, summary)
    if failed:
        folders = (args.work_dir / run.file_name for run in failed)
        logs = '\n'.join(f'  {folder / LOG}' for folder in folders)
        print(f'{len(failed)} of {len(runs)} runs failed:\n{logs}')
        sys.exit(1)


def do_jobs(
    jobs: Sequence[Job],
    executor: LocalExecutor | SlurmExecutor,
    after_each: Callable[[], object],
    pressed: threading.Event,
) -> list[Run]:
    """Do jobs and show how far they are; return the runs that failed.

    Args:
        executor: Where they are done.
        after_each: Called after each recorded run.
        pressed: Whether to stop.

    Raises:
        KeyboardInterrupt: It is to stop. What then goes on is the executor's matter.
    """
    failed = []
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    # The time that remains is told by the speed so far, not of the last seconds.
    with Progress(*columns, speed_estimate_period=_A_DAY_S) as bars:
        overall = bars.add_task('', total=len(jobs))
        under_way = {job: executor.submit(job) for job in jobs}
        tasks = {}
        while under_way:
            if pressed.wait(executor.poll_s):
                raise KeyboardInterrupt
            for job in [job for job, future in under_way.items() if future.done()]:
                said, is_recorded = _conclude(job, under_way.pop(job), after_each)
                if not is_recorded:
                    failed.append(job.run)
                if job in tasks:
                    bars.remove_task(tasks.pop(job))
                bars.console.print(said, markup=False, highlight=False, soft_wrap=True)
            trained = len(jobs) - len(under_way)
            text = f'{trained} of {len(jobs)} runs'
            for job in under_way:
                if found := job.progress():
                    share, where = found
                    trained += share
                    if job not in tasks:
                        tasks[job] = bars.add_task('', total=1)
                    words = f'{job.run.label}: {where}'
                    bars.update(tasks[job], completed=share, description=words)
            bars.update(overall, completed=trained, description=text)
    return failed


def _conclude(
    job: Job, future: Any, after_each: Callable[[], object]
) -> tuple[str, bool]:
    """Say how a job ended, and whether it is recorded."""
    try:
        problem = future.result()
        if problem is None:
            measured = json.loads(job.record.read_text())['measured']
            after_each()
            return f'{job.run.label}: AP {measured["AP"]:.3f}', True
    except Exception as error:  # of the cluster, or of the summary
        problem = error
    return f'{job.run.label}: failed, {problem}', False


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
def _noticing_ctrl_c() -> Iterator[threading.Event]:
    """Take note of Ctrl-C, and treat a closed terminal or a kill like it.

    An exception out of a signal is lost where Python ignores exceptions, as in the
    callbacks of weak references, of which a figure has many. SIGINT is set, too: a
    shell's background jobs start with it ignored.
    """
    pressed = threading.Event()
    before = {name: signal.signal(name, lambda *_: pressed.set()) for name in SIGNALS}
    try:
        yield pressed
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
