"""The benchmark of whole models: its cases, what it records, table and figure."""

import json

import numpy as np
import pytest

from benchmarks.speed import models, models_table, models_timing
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import REPOSITORY, build_host, build_upstream


def test_the_cases_of_a_command():
    args = models.parse(
        ['--batches', '2', '1', '--queries', '300', '--amp', '--growth', 'objects']
    )
    found = list(models.cases(args))
    assert found[:4] == [
        models.Case('grid', batch, 300, 10, amp)
        for batch in (2, 1)
        for amp in (False, True)
    ]
    assert found[4:] == [
        models.Case('objects', 2, 300, objects, False) for objects in (0, 30, 100, 300)
    ]


@pytest.mark.parametrize('family', models.FAMILIES)
def test_families_are_leaves_that_differ_in_their_method(family):
    leaves = models.FAMILIES[family]
    assert next(iter(leaves)) == 'host'
    for name, leaf in leaves.items():
        assert (REPOSITORY / 'configs' / f'{leaf}.py').is_file()
        prefix = '' if name == 'host' else f'{name.lower()}_'
        assert leaf == prefix + leaves['host']


@pytest.fixture(scope='module')
def measured() -> list[dict]:
    detectors = dict(host=build_upstream('dino'), PaQ=build_host('dino', 'paq'))
    counted, found = [], []
    for case in (
        models.Case('grid', 2, 12, 3, False),
        models.Case('objects', 1, 12, 0, False),
        models.Case('objects', 1, 12, 4, False),
    ):
        counted.clear()
        found.append(
            models_timing.measure(
                detectors, case, (64, 96), 2, lambda: counted.append(1)
            )
        )
        assert len(counted) == models_timing.steps(2, 2)
    return json.loads(json.dumps(found))


def test_everything_is_recorded(measured):
    for case in measured:
        for mode in ('predict', 'train'):
            host, ours = case[mode]['host'], case[mode]['PaQ']
            assert host['ratio'] == dict(median=1, quartiles=[1, 1])
            assert 'patterns' in ours['stages'] and 'patterns' not in host['stages']
            assert len(ours['seconds']) == 2 and ours['peak_bytes'] > 0
            low, high = ours['ratio']['quartiles']
            pairs = zip(ours['seconds'], host['seconds'], strict=True)
            first, second = sorted(a / b for a, b in pairs)
            assert first <= low <= high <= second
        assert 'backward' not in case['predict']['host']['stages']
        assert {'matching', 'losses', 'backward'} <= set(
            case['train']['host']['stages']
        )
        memory = [case[mode]['host']['peak_bytes'] for mode in ('predict', 'train')]
        assert memory[0] < memory[1]  # gradients and what they need


def test_memory_of_a_step_counts_its_gradients(monkeypatch):
    """Those of the step before would count as there before, and be freed by it."""
    detector = build_upstream('dino')
    seen = []

    def look(run, device):
        seen.append([p.grad is None for p in detector.parameters()])
        return 1

    monkeypatch.setattr(models_timing, 'peak_memory', look)
    models_timing.measure(
        dict(host=detector), models.Case('grid', 1, 12, 3, False), (64, 96), 2
    )
    assert len(seen) == 2 and all(map(all, seen))


def test_table_and_figure(measured):
    table = models_table.models_table(dict(measured=measured)).splitlines()
    cost = measured[0]['predict']['PaQ']
    row = next(line for line in table if '| PaQ |' in line)
    ratio = cost['ratio']
    assert row.startswith(
        f'| 12 | 2 | single | PaQ | {1000 * cost["p50"]:.0f} | {ratio["median"]:.3f} ('
    )
    assert sum('| host |' in line for line in table) == 2  # the grid's one case, twice
    settings = dict(size=[64, 96], device='cpu', threads=1, repeats=2)
    settings['family'] = dict(host='dino_r50_12e')
    figure = models_table.draw_growth(measured, settings)
    figure.canvas.draw()
    (predicting, training) = figure.axes
    lines = {
        drawn.get_label(): drawn.lines[0].get_xydata() for drawn in training.containers
    }
    expected = [
        [case['objects'], 1000 * case['train']['PaQ']['p50']] for case in measured[1:]
    ]
    assert set(lines) == {'host', 'PaQ'}
    assert lines['PaQ'] == pytest.approx(np.array(expected))
    assert predicting.get_xlabel() == 'objects in an image'


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    """Each case is written at once; nothing of other settings or machines is lost."""
    out, seen = tmp_path / 'speed.json', []

    def measure(detectors, case, *_):
        seen.append(case)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return case._asdict()

    there = dict(models.describe_environment(), commit='this', dirty=False)
    monkeypatch.setattr(models, 'describe_environment', lambda _: dict(there))
    monkeypatch.setattr(models_timing, 'build', lambda *_: None)
    monkeypatch.setattr(models_timing, 'measure', measure)
    command = ['--batches', '1', '2', '--queries', '300', '--growth', '--out', str(out)]
    with pytest.raises(KeyboardInterrupt):
        models.main(command)
    assert [case['batch'] for case in json.loads(out.read_text())['measured']] == [1]
    models.main(command)
    assert [case.batch for case in seen] == [1, 2, 2]
    before = out.read_text()
    for other, more in (
        ({}, ['--repeats', '7']),
        (dict(commit='a later one'), []),
        (dict(dirty=True), []),
        (dict(hardware=dict(device='another', cores=2)), []),
    ):
        with monkeypatch.context() as patch:
            environment = dict(there, **other)
            patch.setattr(models, 'describe_environment', lambda _, e=environment: e)
            with pytest.raises(ConfigError, match='remove it, or give another --out'):
                models.main([*command, *more])
        assert out.read_text() == before
    # Both commands are told, once.
    there['command'] = 'python models.py --amp'
    for _ in range(2):
        models.main([*command, '--amp'])
        told = json.loads(out.read_text())['environment']['command']
        assert told.split(models.THEN)[1:] == ['python models.py --amp']
    assert [case.amp for case in seen] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--out', 'speed.txt'], 'does not end in .json'),
        (['--repeats', '1'], 'at least 2'),
        (['--size', '0', '9'], 'must be positive'),
        (['--growth', 'images'], 'invalid choice'),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        models.parse(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
