"""The script for a GPU, as far as a CPU goes: files, time, failures, counts, table."""

import json
import subprocess
import time

import pytest
import torch

from benchmarks import gpu, gpu_table, speed_tables
from benchmarks.gpu_parts import counts, digits, precision, steps, test_run
from tiny_hosts import REPOSITORY


def read(folder, part):
    return json.loads((folder / f'{part}.json').read_text())


def test_a_small_part_writes_its_file_with_its_origin(tmp_path):
    arguments = ['--small', '--parts', 'kernels', '--out', str(tmp_path)]
    gpu.main([*arguments, '--commit', 'abc', '--repeats', '2'])
    result = read(tmp_path, 'kernels')
    assert result['kind'] == 'gpu_kernels' and result['settings']['small']
    assert result['environment']['commit'] and result['environment']['hardware']
    single = [run for run in result['measured']['runs'] if run['precision'] == 'fp32']
    assert {run['part'] for run in single} == {'encoder', 'decoder'}
    for run in single:
        assert max(run['errors'].values()) < 1e-5
        assert run['seconds']['plain_both_ways']['median'] > 0
    table = '\n'.join(gpu_table.tables(dict(kernels=result)))
    assert '| encoder | fp32 |' in table and 'commit' in table


def test_a_part_that_fails_is_told_and_the_next_one_runs(tmp_path, monkeypatch, capsys):
    seen = []

    def measure_part(name):
        def measure(plan):
            seen.append(plan)
            plan.write(dict(so_far=name, error_of=[float('nan'), 1.0]))
            if name == 'steps':
                raise RuntimeError('no memory\nleft')
            return dict(whole=name, failed=['a test'] if name == 'tests' else [])

        return measure

    monkeypatch.setattr(gpu, 'measure_part', measure_part)
    start = time.perf_counter()
    with pytest.raises(SystemExit) as stopped:
        gpu.main(['--small', '--minutes', '10', '--out', str(tmp_path)])
    assert stopped.value.code == 1
    assert 'failed: tests, steps' in capsys.readouterr().err
    assert len(seen) == len(gpu.ENDS)
    told = read(tmp_path, 'steps')['measured']
    assert told.pop('error') == 'RuntimeError: no memory\nleft'
    assert told == dict(so_far='steps', error_of=[None, 1.0])
    assert read(tmp_path, 'digits')['measured']['whole'] == 'digits'
    for plan, share in zip(seen, gpu.ENDS.values(), strict=True):
        assert plan.ends == pytest.approx(start + 600 * share, abs=10)
        assert not plan.time_is_up
    assert seen[0]._replace(ends=start).time_is_up


def test_every_model_is_there_and_upstream_is_upstreams():
    first, *ours = steps.MODELS
    assert first == steps.UPSTREAM and steps.MODELS[first][0].startswith('mmdet::')
    assert steps.MODELS[first][1] == {}
    for name in ours:
        assert (REPOSITORY / 'configs' / steps.MODELS[name][0]).is_file()


def test_counts_of_a_call():
    x = torch.eye(3)
    found = counts.count_operations(lambda: [x.sum().item(), x.nonzero()], 'cpu')
    assert (found['items'], found['nonzeros']) == (1, 1)
    assert found['aten'] >= 4
    assert found['busy_seconds'] is None and found['waits'] is None


def test_a_gpu_is_busy_once_at_a_time():
    spans = [(10, 20), (0, 5), (12, 18), (15, 30), (30, 31)]
    assert counts.busy_seconds(spans) == pytest.approx(26e-9)
    assert counts.busy_seconds([]) == 0


def test_precision_is_put_back():
    before = torch.backends.cuda.matmul.allow_tf32
    attention = precision.attention.MultiScaleDeformableAttnFunction
    with precision.precise('tf32'):
        assert torch.backends.cuda.matmul.allow_tf32
    with precision.precise('bf16'):
        assert precision.attention.MultiScaleDeformableAttnFunction is not attention
    assert torch.backends.cuda.matmul.allow_tf32 is before
    assert precision.attention.MultiScaleDeformableAttnFunction is attention


def test_losses_that_are_no_numbers_are_told():
    training = object.__new__(digits.Training)
    training.losses = [4.0, float('nan'), 2.0, 3.0]
    training.model = torch.nn.Linear(1, 1)
    told = training.told()
    assert told['losses'] == [4.0, None, 2.0, 3.0] and told['not_finite'] == 1
    assert told['last_loss'] == 3.0 and told['weights_finite']


def test_a_loss_is_to_be_near_that_in_single_precision():
    def training(*losses):
        one = object.__new__(digits.Training)
        one.losses, one.model = list(losses), torch.nn.Linear(1, 1)
        return one

    trainings = dict(fp32=training(9, 2.0), fp16=training(9, 2.08), bf16=training(9, 3))
    told = digits.conclude(trainings, {})
    assert told['failed'] == ['bf16'] and told['iterations'] == 2
    assert told['precisions']['fp16']['ratio'] == pytest.approx(1.04)
    told = digits.conclude(trainings, dict(fp16='RuntimeError: no kernel'))
    assert told['failed'] == ['fp16', 'bf16']


def step(median, **more):
    return dict(seconds=dict(median=median, quartiles=[median] * 2), repeats=9, **more)


def test_the_table_tells_ratios_errors_and_where():
    ratio = dict(median=0.8, quartiles=[0.75, 0.85])
    models = dict(
        upstream=step(0.2, kernels=9, aten=70, waits=5, busy_seconds=0.1),
        PaQ=step(0.16, ratio=ratio, peak_bytes=2e9),
        QR=dict(error='RuntimeError: no kernel\nat line 1'),
    )
    cell = dict(mode='train', precision='fp16', objects=7, models=models)
    measured = dict(size=[640, 640], batch=4, cells=[cell], optimizers={})
    environment = dict(
        hardware=dict(device='Card', cores=16),
        versions=dict(torch='2.11'),
        date='2030-01-01',
        commit='abc',
        dirty=None,
    )
    switches = dict(cuda='13.0', matmul_tf32=False, cudnn_tf32=True)
    switches |= dict(device='cuda', threads=1)
    result = dict(measured=measured, environment=environment, settings=switches)
    (block,) = gpu_table.tables(dict(steps=result))
    row = '| fp16 | 7 | PaQ | 160.0 | 0.800 (0.750-0.850) | - | - | - | - | 2000 | 9 |'
    assert row in block
    assert '| fp16 | 7 | upstream | 200.0 | - | 100.0 | 9 | 70 | 5 | - | 9 |' in block
    assert 'QR: RuntimeError: no kernel' in block
    assert 'Card, 16 cores, torch 2.11, 2030-01-01, commit abc; threads: 1' in block
    assert 'CUDA 13.0' in block
    assert 'products off, convolutions on' in block


def test_without_a_result_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_tables, 'RESULTS', tmp_path)
    assert speed_tables.gpu_tables() == 'Not measured yet.'
    assert speed_tables.speed_in_short() == 'Not measured yet.'


def test_ratios_in_short_have_a_column_for_each_job():
    ratio = dict(median=0.5, quartiles=[0.4, 0.6])
    ours, upstream = dict(ratio=ratio, peak_bytes=8e8, repeats=9), dict(peak_bytes=1e9)
    models = dict(upstream=upstream, PaQ=ours)
    cells = [
        dict(mode='losses', precision='fp32', objects=7, models={}),
        dict(mode='predict', precision='fp16', objects=7, models=models),
        dict(mode='train', precision='fp32', objects=100, models=dict(PaQ=dict(ours))),
        dict(mode='train', precision='fp32', objects=7, models=models),
    ]
    measured = dict(cells=cells, models=models, size=[320, 320], batch=2)
    environment = dict(
        date='2030-01-01',
        commit='abc',
        dirty=False,
        hardware=dict(device='Card', cores=1),
        versions=dict(torch='2'),
    )
    settings = dict(device='cpu', threads=1)
    text = gpu_table.in_short(
        dict(measured=measured, environment=environment, settings=settings)
    )
    head, _, first, second, _, told = text.splitlines()
    assert head == (
        '| model | training step, 7 objects | training step, 100 objects | '
        'losses, 7 objects | memory of a step |'
    )
    assert first == '| upstream | - | - | - | 1.00 |'
    assert second == '| PaQ | 0.50 (0.40-0.60) | 0.50 (0.40-0.60) | - | 0.80 |'
    assert told.startswith('2 images of 320x320, 9 repetitions; Card')


def test_tests_that_are_cut_off_are_told(tmp_path, monkeypatch):
    """What has passed until then is counted, what was not run is a failure."""
    plan = gpu.Plan('cpu', True, 64, 1, 2, time.perf_counter(), print)

    def run(command, timeout, **_):
        assert timeout == 20
        shown = b'tests/a.py::one PASSED [ 1%]\ntests/a.py::two FAILED [ 2%]\ntests/a.'
        raise subprocess.TimeoutExpired(command, timeout, output=shown)

    monkeypatch.setattr(test_run.subprocess, 'run', run)
    told = test_run.run_tests(['tests/a.py'], plan, tmp_path / 'none.xml')
    cut = 'tests/a.py: not done after 20 s'
    assert told == dict(passed=1, failed=['tests/a.py::two', cut])


def test_a_report_of_tests_is_counted(tmp_path):
    report = tmp_path / 'report.xml'
    report.write_text(
        '<testsuites><testsuite><testcase name="a"/>'
        '<testcase name="b"><failure message="assert 1 == 2&#10;more"/></testcase>'
        '<testcase name="c"><skipped message="no card"/></testcase>'
        '</testsuite></testsuites>'
    )
    assert test_run.read_report(report) == dict(
        passed=1, failed=['b: assert 1 == 2 more'], skipped={'no card': 1}
    )
