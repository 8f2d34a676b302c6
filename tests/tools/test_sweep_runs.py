"""A sweep's runs: recorded once, resumed, kept apart, and one failing alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import jsonschema
import pytest

import mmdet_qrpaq
from data_folders import yolo_roboflow
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records import provenance
from mmdet_qrpaq.records.provenance import hash_file
from mmdet_qrpaq.sweeps import execution, executors, job
from mmdet_qrpaq.sweeps.record import SCHEMA, measure
from tiny_runs import CONFIG, run_tool, write_dataset


def read(folder: Path, queries: int = 8, seed: int = 0) -> dict:
    name = f'tiny_num_queries_{queries}_seed{seed}.json'
    return json.loads((folder / name).read_text())


def starts(folder: Path, queries: int = 8, seed: int = 0) -> int:
    run = folder / f'tiny_num_queries_{queries}_seed{seed}'
    return len((run / 'starts').read_text().split())


def test_a_record_says_what_was_run_and_measured(sweep) -> None:
    sweep('--seeds', '0', '--batch-size', '3')
    record = read(sweep.out)
    jsonschema.validate(record, SCHEMA)
    settings, measured = record['settings'], record['measured']
    assert settings['options'] == {'model.num_queries': 8}
    assert settings['variant'] == 'tiny, num_queries=8'
    assert (settings['epochs'], settings['iterations']) == (2, 4)
    assert (settings['batch_size'], settings['image_size']) == (3, 64)
    assert settings['data']['folder'] == 'data'
    threads = os.environ.get('OMP_NUM_THREADS', len(os.sched_getaffinity(0)))
    assert (settings['at_a_time'], settings['threads']) == (1, int(threads))
    assert (measured['AP'], measured['APl']) == (0.08, None)
    assert measured['AP_curve'] == [[1, 0.08], [2, 0.08]]
    assert measured['loss_curve'] == [[2, 2.0], [4, 1.0]]
    assert measured['step_seconds'] == 1.5  # median of 1 and 2
    assert measured['peak_memory_mb']['cuda'] == 512
    assert measured['routing'] == {'routing/d0.layer': 4.0}
    assert (measured['gini'], measured['num_queries']) == (0.25, 8)
    assert measured['AP_with_nms'] == 0.1
    # The last checkpoint is kept, for looking at the model.
    run = sweep.out / 'tiny_num_queries_8_seed0'
    assert [path.name for path in run.glob('*.pth')] == ['epoch_2.pth']


def test_a_folder_of_another_layout_is_swept(sweep, tmp_path, capsys) -> None:
    """Fitted to it once; the same command finds its COCO files and its runs."""
    yolo_roboflow(tmp_path / 'parts')
    options = ('--data', str(tmp_path / 'parts'), '--epochs', '2', '--seeds', '0', '1')
    sweep(*options, queries=(8,))
    assert capsys.readouterr().out.count("3 classes: 'hex bolt', 'nut', '7'") == 1
    settings = read(sweep.out)['settings']
    assert (settings['epochs'], settings['data']['folder']) == (2, 'parts')
    for split in ('train', 'val'):
        digest = hash_file(sweep.out / f'coco/instances_{split}.json', 16)
        assert settings['data'][split] == digest
    sweep(*options, queries=(8,))
    assert starts(sweep.out) == starts(sweep.out, seed=1) == 1


def test_the_schema_refuses_what_it_does_not_know(sweep) -> None:
    sweep(queries=(8,))
    for wrong in (dict(gini=2), dict(AP='high'), dict(more=1)):
        record = read(sweep.out)
        record['measured'].update(wrong)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(record, SCHEMA)


def test_recorded_runs_are_not_repeated(sweep, capsys) -> None:
    sweep()
    sweep('--seeds', '0', '1')
    assert '2 of 4 runs are recorded already' in capsys.readouterr().out
    assert [starts(sweep.out, q, s) for q in (8, 9) for s in (0, 1)] == [1] * 4
    table = (sweep.out / 'table.md').read_text()
    assert '| tiny, num_queries=9 | 0, 1 | 0.090 ± 0.000 |' in table
    assert '+0.010 ± 0.000 [+0.010, +0.010]' in table
    assert (sweep.out / 'curves.png').stat().st_size > 0


def test_a_failing_run_leaves_the_others_alone(sweep, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        sweep(queries=(13, 8, 66, 9))
    assert stop.value.code == 1
    said = capsys.readouterr().out
    assert '2 of 4 runs failed' in said
    assert 'tiny_num_queries_13_seed0/run.log' in said.replace('\n', '')
    assert 'error: unlucky' in said and 'the loss is not finite' in said
    assert read(sweep.out, 8) and read(sweep.out, 9)
    assert '| tiny, num_queries=13 | not run |' in (
        (sweep.out / 'table.md').read_text()
    )
    # The same command tries them again, and only them.
    with pytest.raises(SystemExit):
        sweep(queries=(13, 8, 66, 9))
    assert [starts(sweep.out, q) for q in (13, 8, 66, 9)] == [2, 1, 2, 1]


@pytest.mark.parametrize('recorded', [True, False])
def test_another_setting_never_reuses_a_run(sweep, recorded: bool) -> None:
    sweep(queries=(8,))
    if not recorded:  # as if it had been stopped half-way
        (sweep.out / 'tiny_num_queries_8_seed0.json').unlink()
    with pytest.raises(ConfigError, match='other settings.*another --work-dir'):
        sweep('--batch-size', '7', queries=(8,))
    assert starts(sweep.out) == 1


def test_a_folder_trained_by_something_else_is_refused(sweep) -> None:
    folder = sweep.out / 'tiny_num_queries_8_seed0'
    folder.mkdir(parents=True)
    (folder / 'last_checkpoint').write_text('elsewhere/epoch_1.pth')
    with pytest.raises(ConfigError, match='other settings.*another --work-dir'):
        sweep(queries=(8,))


def test_two_runs_of_one_name_are_refused(sweep) -> None:
    with pytest.raises(ConfigError, match='a-b.*a_b.*would share the folder'):
        sweep(queries=('a_b', 'a-b'))


def test_a_folder_in_use_is_left_alone(sweep, capsys) -> None:
    """Also by the trainings of a sweep that was killed, which hold its lock."""
    folder = sweep.out / 'tiny_num_queries_8_seed0'
    folder.mkdir(parents=True)
    with job.locked(folder), pytest.raises(SystemExit):
        sweep()
    assert 'another process is still at work in' in capsys.readouterr().out
    assert read(sweep.out, 9) and not (folder / 'run.py').exists()
    sweep()
    assert read(sweep.out, 8)


def test_a_file_system_without_locks_will_do(sweep, monkeypatch) -> None:
    refuse = mock.Mock(side_effect=OSError(38, 'Function not implemented'))
    monkeypatch.setattr(job.fcntl, 'flock', refuse)
    sweep(queries=(8,))
    assert refuse.called and read(sweep.out, 8)


def test_a_run_is_of_the_code_it_was_started_with(sweep, monkeypatch) -> None:
    """And says so if it went on with other code."""
    now = job.describe_environment()

    def at(commit: str, dirty: bool) -> None:
        described = dict(now, commit=commit, dirty=dirty)
        monkeypatch.setattr(job, 'describe_environment', described.copy)

    at('aaa', dirty=True)
    with pytest.raises(SystemExit):
        sweep(queries=(66,))  # trains, and is not recorded
    at('bbb', dirty=False)
    folder = sweep.out / 'tiny_num_queries_66_seed0'
    for path in folder.glob('*/vis_data/scalars.json'):
        path.write_text(path.read_text().replace('NaN', '1.0'))
    train = job.TOOLS / 'train.py'
    train.write_text('')
    sweep(queries=(66,))
    recorded = read(sweep.out, 66)['environment']
    assert (recorded['commit'], recorded['dirty']) == ('aaa, then bbb', True)


def test_a_command_can_be_typed_again(monkeypatch) -> None:
    """Also one whose arguments have blanks in them."""
    monkeypatch.setattr(sys, 'argv', ['tools/x.py', 'two words', '--size=[1, 2]'])
    assert provenance.typed_command() == "python tools/x.py 'two words' '--size=[1, 2]'"


def test_a_gpu_that_is_not_used_is_not_the_hardware(monkeypatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.get_device_name', lambda: 'a GPU')
    assert provenance.describe_environment()['hardware']['device'] == 'a GPU'
    used = provenance.describe_environment('cpu')['hardware']['device']
    assert used not in ('a GPU', '')


def test_a_result_written_anew_is_no_change_of_code(tmp_path, monkeypatch) -> None:
    """Else a benchmark that writes as it goes would be of changed code from then on."""
    code = tmp_path / 'tools' / 'train.py'
    result = tmp_path / 'benchmarks' / 'results' / 'speed.json'
    for path in (code, result):
        path.parent.mkdir(parents=True)
        path.write_text('before')
    for arguments in (
        'init --quiet',
        'add .',
        '-c user.name=a -c user.email=a@b commit --quiet -m before',
    ):
        subprocess.run(['git', '-C', tmp_path, *arguments.split()], check=True)
    monkeypatch.setattr(provenance, 'ROOT', tmp_path)
    result.write_text('after')
    assert provenance.describe_environment()['dirty'] is False
    code.write_text('after')
    assert provenance.describe_environment()['dirty'] is True


def test_ctrl_c_ends_its_children_and_loses_nothing(sweep) -> None:
    """Even if it is pressed again while they are being ended."""
    pid = os.getpid()

    def press() -> None:
        mark = sweep.out / 'tiny_num_queries_99_seed0' / 'again'
        for _ in range(2000):
            if mark.exists():
                break
            time.sleep(0.01)
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
        os.kill(pid, signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=press).start()
    began = time.monotonic()
    with pytest.raises(SystemExit) as stop:
        sweep(queries=(8, 99))
    assert stop.value.code == execution.INTERRUPTED
    assert time.monotonic() - began < 50  # the child would have slept for 60
    assert signal.getsignal(signal.SIGINT) is before
    assert read(sweep.out, 8)
    sweep(queries=(8, 99))
    assert (starts(sweep.out, 8), starts(sweep.out, 99)) == (1, 2)
    assert read(sweep.out, 99)


def test_ctrl_c_is_noticed_where_python_ignores_exceptions() -> None:
    """As among the weak references of a figure that is being drawn."""

    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    before = signal.getsignal(signal.SIGINT)
    with execution._noticing_ctrl_c() as pressed:
        Dying()
        assert pressed.wait(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_killed_in_its_last_validation_is_tested(sweep) -> None:
    sweep(queries=(77,))
    measured = read(sweep.out, 77)['measured']
    assert measured['AP'] == 0.5
    assert measured['AP_curve'] == [[1, 0.77], [2, 0.5]]


def test_without_an_ap_there_is_no_record(tmp_path: Path) -> None:
    log = tmp_path / '1' / 'vis_data'
    log.mkdir(parents=True)
    (log / 'scalars.json').write_text('{"loss": 1, "iter": 1, "epoch": 1, "time": 1}')
    with pytest.raises(ConfigError, match='no AP was logged'):
        measure(tmp_path, 1)


def test_jobs_share_the_cores_and_gpus_are_dealt_out(monkeypatch) -> None:
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(8)), raising=False)
    assert executors.make_slots(3) == [{'OMP_NUM_THREADS': '2'}] * 3
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    assert executors.make_slots(1) == [{'OMP_NUM_THREADS': '1'}]
    monkeypatch.setenv('OMP_NUM_THREADS', '4,2')  # OpenMP's for nested regions
    assert executors.make_slots(1) == [{'OMP_NUM_THREADS': '8'}]
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setattr(executors.torch.cuda, 'device_count', lambda: 3)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,5,7')
    assert executors.make_slots(gpus=2) == [
        {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '4'},
        {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '5'},
    ]
    monkeypatch.delenv('OMP_NUM_THREADS')
    assert executors.make_slots(gpus=2)[0]['OMP_NUM_THREADS'] == '4'
    with pytest.raises(ConfigError, match='4 GPUs are asked for, and there are 3'):
        executors.make_slots(gpus=4)


@pytest.mark.parametrize(
    ('log', 'share', 'where'),
    [
        ('', 0.0, 'starting'),
        ('Epoch(train)  [3][ 50/100]  lr: 1\n', 0.625, 'epoch 3 of 4'),
        (
            'Iter(train) [ 20/200]  lr\nIter(val) [9/10]\n',
            0.1,
            'iteration 20 of 200',
        ),
    ],
)
def test_progress_is_read_from_the_log(
    tmp_path: Path, log: str, share: float, where: str
) -> None:
    (tmp_path / job.LOG).write_text('Epoch(train)  [1][ 1/100]  of a run before')
    one = job.Job(mock.Mock(length=4), tmp_path, tmp_path / 'record.json', 1)
    assert one.progress() is None
    with (tmp_path / job.LOG).open('a') as file:
        file.write(f'$ train\n{log}')
    assert one.progress() == (share, where)


@pytest.mark.skipif(sys.version_info < (3, 11), reason='its `python -m` looks around')
def test_a_run_is_of_the_package_that_started_it(tmp_path: Path) -> None:
    """Whatever lies where it is started, and whatever is installed."""
    other = tmp_path / 'mmdet_qrpaq'
    other.mkdir()
    (other / '__init__.py').write_text('raise SystemExit("not this one")')
    code = '__arguments_first__ = True; import mmdet_qrpaq; print(mmdet_qrpaq.__file__)'
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={**os.environ, **job.package_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).samefile(mmdet_qrpaq.__file__)


def test_an_installed_package_is_found_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(job, 'BESIDE', job.HOME / 'mmdet_qrpaq' / '.mim')
    assert job.package_path() == {}


@pytest.mark.slow
def test_a_real_sweep(tmp_path: Path) -> None:
    """Host and PaQ, through the command: they train, evaluate and are compared."""
    root = write_dataset(tmp_path / 'shapes')
    for split in ('train', 'val'):
        (root / f'{split}.json').rename(root / f'instances_{split}.json')
    host, paq = tmp_path / 'host.py', tmp_path / 'paq.py'
    host.write_text(CONFIG.format(classes=('a',), root='/nowhere'))
    paq.write_text(
        f"_base_ = [{str(host)!r}]\nmodel = dict(type='QRPaQDINO',\n"
        "    pattern_query=dict(type='PatternQueryGenerator', num_patterns=5),\n"
        "    bbox_head=dict(type='QualityAwareDINOHead', quality=dict()))\n"
    )
    options = ['--data', root, '--iterations', 4, '--work-dir', tmp_path / 'out']
    options += ['--jobs', 2, '--cfg-options', 'train_cfg.val_interval=4']
    options += ['train_dataloader.num_workers=0', 'custom_hooks=None']
    options += ['default_hooks.checkpoint.save_best=None']
    run_tool('sweep', host, paq, *options)
    records = {
        name: json.loads((tmp_path / 'out' / f'{name}_seed0.json').read_text())
        for name in ('host', 'paq')
    }
    for record in records.values():
        jsonschema.validate(record, SCHEMA)
        measured = record['measured']
        assert record['settings']['iterations'] == 4
        assert [step for step, _ in measured['loss_curve']] == [1, 2, 3, 4]
        assert [step for step, _ in measured['AP_curve']] == [4]
        assert measured['num_queries'] == 20 and 0 <= measured['gini'] < 1
        assert 0 <= measured['AP_with_nms'] <= 1
        assert measured['peak_memory_mb']['resident'] > 100
    first = [record['measured']['loss_curve'][0][1] for record in records.values()]
    assert first[0] != first[1]
    rows = (tmp_path / 'out' / 'table.md').read_text().splitlines()[2:4]
    assert [row.split('|')[1].strip() for row in rows] == ['host', 'paq']
