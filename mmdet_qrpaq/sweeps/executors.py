"""Where the runs of a sweep happen: on this machine, or on a cluster."""

import os
import queue
import shlex
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import ConfigError
from ..records.results import write_whole
from .job import DIGEST, Job, package_path, stop

if TYPE_CHECKING:
    import submitit

# In a run's folder: its job on the cluster.
SUBMITTED = 'slurm_job'


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
            f'{gpus} GPUs are asked for, and there are {there}; use fewer, or count '
            'jobs.'
        )
    shown = os.environ.get('CUDA_VISIBLE_DEVICES')
    names = shown.split(',') if shown else [str(index) for index in range(there)]
    return [dict(slot, CUDA_VISIBLE_DEVICES=name) for name in names[:gpus]]


class LocalExecutor:
    """Runs jobs on this machine, one in each slot at a time.

    Args:
        slots: See `make_slots`.
    """

    poll_s = 0.2

    def __init__(self, slots: Sequence[dict[str, str]]) -> None:
        self.at_a_time = len(slots)
        self._pool = ThreadPoolExecutor(len(slots))
        self._jobs: list[Job] = []
        self._free = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)

    def submit(self, job: Job) -> Future:
        """Do a job when a slot is free."""
        self._jobs.append(job)
        return self._pool.submit(self._do, job)

    def _do(self, job: Job) -> str | None:
        slot = self._free.get()
        try:
            return job(slot)
        finally:
            self._free.put(slot)

    def stop(self) -> str:
        """End all jobs; return how to go on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        stop(self._jobs)
        self._pool.shutdown()
        return 'Stopped. The same command goes on from the last checkpoints.'


@dataclass
class OnNode:
    """A job as a cluster does it."""

    job: Job

    def __call__(self) -> str | None:
        """Do the job with all that was allocated to it."""
        return self.job(make_slots()[0])

    def checkpoint(self) -> 'submitit.helpers.DelayedSubmission':
        """Go on from the last checkpoint, if time was up or the node was taken away."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmExecutor:
    """Submits jobs to Slurm, where they go on without this process.

    Args:
        folder: For scripts and logs of the jobs; all nodes see it.
        settings: Options of `sbatch` as `KEY=VALUE`, or `KEY` alone; `time` in minutes
            is needed. One GPU, unless there is `gres` or a key that starts with `gpu`.

    Raises:
        ConfigError: Slurm is missing, or `time`.
        ModuleNotFoundError: `submitit` is missing.
    """

    poll_s = 5.0
    at_a_time = 1

    def __init__(self, folder: Path, settings: Sequence[str]) -> None:
        import submitit

        options = {
            key: value if equals else True
            for key, equals, value in (word.partition('=') for word in settings)
        }
        minutes = str(options.pop('time', ''))
        if not minutes.isdecimal():
            raise ConfigError(
                'Slurm must know how long a run may take: give time=MINUTES.'
            )
        if not any(key.startswith(('gpu', 'gres')) for key in options):
            options['gpus-per-node'] = 1
        try:
            self._executor = submitit.SlurmExecutor(folder.absolute())
        except RuntimeError as error:
            raise ConfigError(
                'there is no Slurm here (no srun on PATH); run the command on a login '
                'node of the cluster.'
            ) from error
        self._executor.update_parameters(
            job_name='sweep',
            time=int(minutes),
            setup=[
                f'export {name}={shlex.quote(value)}'
                for name, value in package_path().items()
            ],
            additional_parameters=options,
        )
        self._submitted: list[submitit.SlurmJob] = []

    def submit(self, job: Job) -> 'submitit.SlurmJob':
        """Put a job into the queue, unless it is there or at work.

        Raises:
            ConfigError: Slurm refuses it.
        """
        import submitit

        note = job.folder / SUBMITTED
        if note.exists():
            before = submitit.SlurmJob(self._executor.folder, note.read_text())
            if not before.done(force_check=True):
                self._submitted.append(before)
                return before
        try:
            self._submitted.append(self._executor.submit(OnNode(job)))
        except (OSError, submitit.core.utils.FailedJobError) as error:
            raise ConfigError(f'sbatch failed: {error}') from error
        write_whole(job.folder / DIGEST, job.run.digest)
        write_whole(note, self._submitted[-1].job_id)
        return self._submitted[-1]

    def stop(self) -> str:
        """Leave the jobs alone; return how to go on, or how to end them."""
        left = [job.job_id for job in self._submitted if not job.done()]
        if not left:
            return 'Stopped. The same command goes on.'
        return (
            f'Stopped watching; {len(left)} runs stay in the queue or at work. The '
            f'same command watches them again, `scancel {" ".join(left)}` ends them.'
        )
