"""A sweep on a cluster: submitit itself, before a Slurm of four small scripts."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mmdet_qrpaq.command_line import EXTRAS, run
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records import provenance
from mmdet_qrpaq.sweeps import executors, job
from tiny_runs import run_tool

submitit = pytest.importorskip('submitit')

SBATCH = f"""#!{sys.executable}
import os, pathlib, subprocess, sys
home = pathlib.Path(__file__).parent
number = len(list(home.glob('*.sh'))) + 1
script = home / f'{{number}}.sh'
script.write_text(pathlib.Path(sys.argv[1]).read_text())
# A cluster need not hand on the environment.
kept = {{key: os.environ[key] for key in ('PATH', 'HOME', 'OMP_NUM_THREADS')
        if key in os.environ}}
told = dict(JOB_ID=number, NTASKS=1, JOB_NUM_NODES=1, NODEID=0, PROCID=0, LOCALID=0)
environment = kept | {{f'SLURM_{{key}}': str(value) for key, value in told.items()}}
wait = f'while [ -e {{home}}/hold ]; do sleep 0.1; done'
command = f'{{wait}}; bash {{script}}; echo $? > {{home}}/{{number}}.status'
quiet = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.DEVNULL)
subprocess.Popen(['bash', '-c', command], env=environment, start_new_session=True,
                 **quiet)
print('Submitted batch job', number)
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do
    [[ $1 == --output || $1 == --error ]] && shift
    shift
done
exec "$@"
"""
SACCT = f"""#!{sys.executable}
import pathlib
print('JobID|State|NodeList')
for script in pathlib.Path(__file__).parent.glob('*.sh'):
    status = script.with_suffix('.status')
    ended = status.read_text().strip() if status.exists() else None
    state = dict([(None, 'RUNNING'), ('0', 'COMPLETED')]).get(ended, 'FAILED')
    print(f'{{script.stem}}|{{state}}|here')
"""


@pytest.fixture
def cluster(sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a Slurm on PATH; its folder holds the scripts that were submitted."""
    home = tmp_path / 'cluster'
    home.mkdir()
    for name, text in (('sbatch', SBATCH), ('srun', SRUN), ('sacct', SACCT)):
        (home / name).write_text(text)
        (home / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{home}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr(executors.SlurmExecutor, 'poll_s', 0.1)
    # Its state is asked for at longer and longer intervals.
    monkeypatch.setattr(submitit.SlurmJob.watcher, '_delay_s', 0.5)
    submitit.SlurmJob.watcher.clear()
    submitit.SlurmJob.watcher._registered.clear()
    return home


SLURM = ['--executor', 'slurm', '--slurm', 'time=90']


def test_runs_are_submitted_once_and_recorded(sweep, cluster, capsys) -> None:
    more = ['partition=gpu', 'cpus-per-task=3', 'exclusive']
    sweep(*SLURM, *more, queries=(9,))
    record = json.loads((sweep.out / 'tiny_num_queries_9_seed0.json').read_text())
    assert record['measured']['AP'] == 0.09
    assert record['settings']['at_a_time'] == 1
    # What was typed, not what the cluster ran.
    assert record['environment']['command'] == provenance.typed_command()
    table = (sweep.out / 'table.md').read_text()
    assert '| tiny, num_queries=9 | 0 | 0.090 ± - |' in table
    script = (cluster / '1.sh').read_text()
    for option in ('time=90', 'partition=gpu', 'cpus-per-task=3', 'gpus-per-node=1'):
        assert f'#SBATCH --{option}\n' in script
    assert '#SBATCH --exclusive\n' in script
    sweep(*SLURM, queries=(9,))
    assert '1 of 1 runs are recorded already' in capsys.readouterr().out
    assert len(list(cluster.glob('*.sh'))) == 1


@pytest.mark.slow
def test_ctrl_c_leaves_the_cluster_alone(sweep, cluster, capsys) -> None:
    """And the same command watches what is there; what failed is submitted again."""
    (cluster / 'hold').touch()
    pid = os.getpid()

    def press() -> None:
        while not (sweep.out / 'tiny_num_queries_13_seed0' / 'slurm_job').exists():
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(pid, signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(SystemExit) as stop:
        sweep(*SLURM, queries=(8, 13))
    assert stop.value.code == 130
    said = capsys.readouterr().out
    assert '2 runs stay in the queue or at work' in said and '`scancel 1 2`' in said
    (cluster / 'hold').unlink()
    for submitted in (2, 3):  # the second time, the one that failed
        with pytest.raises(SystemExit) as stop:
            sweep(*SLURM, queries=(8, 13))
        assert stop.value.code == 1
        said = capsys.readouterr().out
        assert '1 of 2 runs failed' in said and 'error: unlucky' in said
        assert len(list(cluster.glob('*.sh'))) == submitted
    # While it waits, it is of its settings.
    with pytest.raises(ConfigError, match='other settings.*another --work-dir'):
        sweep(*SLURM, '--batch-size', '7', queries=(13,))


@pytest.mark.slow
def test_a_run_goes_on_when_its_time_is_up(sweep, tmp_path, monkeypatch) -> None:
    """As submitit has it: a signal shortly before, then the job is started again."""
    started = []

    class Local(executors.LocalExecutor):
        def submit(self, one: job.Job) -> submitit.LocalJob:
            executor = submitit.LocalExecutor(tmp_path / 'submitted')
            started.append(executor.submit(executors.OnNode(one)))
            return started[-1]

    monkeypatch.setattr('mmdet_qrpaq.sweeps.execution.LocalExecutor', Local)

    def time_is_up() -> None:
        while not (sweep.out / 'tiny_num_queries_99_seed0' / 'again').exists():
            time.sleep(0.05)
        # To the process itself; its controller takes no such signal.
        (child,) = Path(f'/proc/{started[0].job_id}/task').glob('*/children')
        os.kill(int(child.read_text().split()[0]), signal.SIGUSR2)

    threading.Thread(target=time_is_up).start()
    sweep(queries=(99,))
    folder = sweep.out / 'tiny_num_queries_99_seed0'
    assert (folder / 'starts').read_text().split() == ['train'] * 2
    assert (sweep.out / f'{folder.name}.json').exists()


def test_what_is_missing_is_told(sweep, cluster, monkeypatch, capsys) -> None:
    with pytest.raises(ConfigError, match='give time=MINUTES'):
        sweep('--executor', 'slurm', '--slurm', 'partition=gpu')
    (cluster / 'sbatch').write_text('#!/bin/bash\necho "no such partition" >&2; exit 1')
    with pytest.raises(ConfigError, match='sbatch failed: .*no such partition'):
        sweep(*SLURM)
    assert not list(sweep.out.glob('*/digest'))
    (cluster / 'srun').unlink()
    with pytest.raises(ConfigError, match='no Slurm here'):
        sweep(*SLURM)
    assert EXTRAS['submitit'] == 'slurm'
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(SystemExit):
        run(lambda: sweep(*SLURM))
    assert "pip install 'mmdet_qrpaq[slurm]'" in capsys.readouterr().err


def test_options_of_slurm_are_not_those_of_this_machine(capsys) -> None:
    with pytest.raises(SystemExit):
        run_tool('sweep', 'a.py', *SLURM, '--jobs', '2')
    assert 'not allowed with' in capsys.readouterr().err
