import json
import math
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

from mmdet_qrpaq.analysis.measuring import conclude, observers_of, origin_of
from mmdet_qrpaq.analysis.training.curves import (
    SCHEMA,
    History,
    describe,
    draw_training_curves,
    mean_and_range,
    read_history,
    tables,
)
from mmdet_qrpaq.analysis.training.section import CURVES
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.tables import print_table
from tiny_runs import run_script


def loss(iteration, value, epoch=None):
    record = dict(loss=value, loss_cls=value / 2, iter=iteration, step=iteration)
    return record if epoch is None else record | dict(epoch=epoch)


def ap(step, value):
    return {'coco/bbox_mAP': value, 'coco/bbox_mAP_50': value + 0.1, 'step': step}


def write(work_dir, start, records, tail=''):
    folder = work_dir / start / 'vis_data'
    folder.mkdir(parents=True)
    lines = [json.dumps(record) for record in records]
    (folder / 'scalars.json').write_text('\n'.join(lines) + '\n' + tail)


FIRST = [
    loss(10, 9.0, 1),
    loss(20, 8.0, 1),
    ap(1, 0.1),
    loss(30, 7.0, 2),
    loss(40, 6.0, 2),
    ap(2, 0.2),
]


def points(history):
    return (
        [(record['iter'], record['loss']) for record in history.train],
        [(record['step'], record['coco/bbox_mAP']) for record in history.val],
    )


def test_one_run(tmp_path):
    write(tmp_path, '20260101_000000', FIRST)
    history = read_history(tmp_path)
    assert points(history) == (
        [(10, 9.0), (20, 8.0), (30, 7.0), (40, 6.0)],
        [(1, 0.1), (2, 0.2)],
    )
    assert history.by_epoch


def test_resumed_run_replaces_what_was_done_twice(tmp_path):
    # Killed in epoch 3 (iterations 50, 60), resumed from the end of epoch 2.
    lost = [loss(50, 5.5, 3), loss(60, 5.4, 3)]
    write(tmp_path, '20260101_000000', FIRST + lost, tail='{"loss": 5.3, "it')
    rest = [loss(50, 5.0, 3), loss(70, 4.0, 3), ap(3, 0.3)]
    write(tmp_path, '20260101_010000', rest)
    assert points(read_history(tmp_path)) == (
        [(10, 9.0), (20, 8.0), (30, 7.0), (40, 6.0), (50, 5.0), (70, 4.0)],
        [(1, 0.1), (2, 0.2), (3, 0.3)],
    )


def test_fresh_run_in_the_same_folder_starts_over(tmp_path):
    write(tmp_path, '20260101_000000', FIRST)
    write(tmp_path, '20260101_010000', [loss(10, 3.0, 1), ap(1, 0.5)])
    assert points(read_history(tmp_path)) == ([(10, 3.0)], [(1, 0.5)])


def test_start_without_a_logged_loss_changes_nothing(tmp_path):
    write(tmp_path, '20260101_000000', FIRST)
    write(tmp_path, '20260101_010000', [])
    assert len(read_history(tmp_path).train) == 4


def test_run_counted_in_iterations(tmp_path):
    write(tmp_path, '20260101_000000', [loss(10, 2.0), ap(10, 0.1), loss(20, 1.0)])
    write(tmp_path, '20260101_010000', [loss(20, 1.5), ap(20, 0.2)])
    history = read_history(tmp_path)
    assert points(history) == ([(10, 2.0), (20, 1.5)], [(10, 0.1), (20, 0.2)])
    assert not history.by_epoch


def test_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(ConfigError, match='no training log'):
        read_history(tmp_path)


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_figure_of_one_run_shows_the_logged_numbers():
    history = History(train=[FIRST[0], FIRST[1]], val=[FIRST[2]])
    losses, aps = draw_training_curves([('run', history)]).axes
    assert lines(losses) == {
        'total (all layers)': [[10, 9], [20, 8]],
        'class (last layer)': [[10, 4.5], [20, 4]],
    }
    assert lines(aps) == {'AP': [[1, 0.1]], 'AP$_{50}$': [[1, 0.2]]}
    assert (losses.get_xlabel(), aps.get_xlabel()) == ('iteration', 'epoch')


def test_figure_of_two_runs_compares_total_and_ap():
    runs = [
        ('host', History([FIRST[0]], [])),
        ('ours', History([FIRST[1]], [FIRST[2]])),
    ]
    losses, aps = draw_training_curves(runs).axes
    assert lines(losses) == {'host': [[10, 9]], 'ours': [[20, 8]]}
    assert lines(aps) == {'ours': [[1, 0.1]]}


def test_mean_and_range_by_hand():
    """Step 3 is missing in one run, so a mean there would be of other runs."""
    curves = [([1, 2, 3], [0.1, 0.2, 0.9]), ([1, 2], [0.3, 0.4]), ([2, 1], [0.6, 0.5])]
    curves = [dict(step=steps, value=values) for steps, values in curves]
    steps, mean, low, high = mean_and_range(curves).values()
    assert steps == [1, 2]
    assert mean == pytest.approx([0.3, 0.4])
    assert (low, high) == ([0.1, 0.2], [0.5, 0.6])
    apart = [dict(step=[1], value=[0.1]), dict(step=[], value=[])]
    assert mean_and_range(apart) == dict(step=[], mean=[], low=[], high=[])


SEEDS = [
    ('host', History([loss(10, 9.0)], [ap(1, 0.1), ap(2, 0.2)])),
    ('ours', History([loss(10, 5.0)], [ap(1, 0.4)])),
    ('host', History([loss(10, 7.0)], [ap(1, 0.3), ap(2, 0.6)])),
]


def test_runs_of_one_name_are_drawn_as_mean_and_range():
    losses, aps = draw_training_curves(SEEDS).axes
    assert lines(losses) == {'host (2 runs)': [[10, 8]], 'ours': [[10, 5]]}
    drawn = lines(aps)
    assert list(drawn) == ['host (2 runs)', 'ours']
    assert sum(drawn['host (2 runs)'], []) == pytest.approx([1, 0.2, 2, 0.4])
    (band,) = aps.collections
    (path,) = band.get_paths()
    heights = sorted({round(y, 9) for x, y in path.vertices if x == 2})
    assert heights == [0.2, 0.6]


def test_result_has_the_curves_of_each_run_and_name(tmp_path):
    numbers = describe(SEEDS, [tmp_path / str(n) for n in range(3)])
    jsonschema.validate(numbers, SCHEMA)
    assert [run['AP']['value'] for run in numbers['runs']] == [
        [0.1, 0.2],
        [0.4],
        [0.3, 0.6],
    ]
    assert [run['AP75']['value'] for run in numbers['runs']] == [[], [], []]
    host, ours = numbers['groups']
    assert (host['num_runs'], ours['num_runs']) == (2, 1)
    assert host['best_AP'] == pytest.approx(0.4)
    assert ours['AP'] == dict(step=[1], mean=[0.4], low=[0.4], high=[0.4])


def test_a_diverged_run_is_drawn_as_far_as_it_goes(tmp_path):
    """NaN is no JSON: it is left out, counted and said."""
    write(tmp_path, '20260101_000000', [loss(10, 9.0), loss(20, 8.0), ap(20, 0.1)])
    write(tmp_path, '20260101_010000', [loss(30, math.nan), loss(40, math.inf)])
    history = read_history(tmp_path)
    runs = [('mine', history), ('other', History(history.train[:2], history.val))]
    for history in (one for _, one in runs):
        history.by_epoch = False
    numbers = describe(runs, [tmp_path, tmp_path])
    jsonschema.validate(numbers, SCHEMA)
    json.dumps(numbers, allow_nan=False)
    assert [run['not_finite'] for run in numbers['runs']] == [2, 0]
    assert numbers['runs'][0]['loss'] == dict(step=[10, 20], value=[9.0, 8.0])
    figure = draw_training_curves(runs)
    assert figure.axes[0].get_title() == 'not finite at times: mine'
    (note,) = tables(numbers)[0].notes
    assert note.startswith(f'mine ({tmp_path}): 2 logged losses')


def test_epochs_and_iterations_are_not_put_on_one_axis():
    runs = [('a', History([loss(1, 1)], [])), ('b', History([loss(1, 1)], [], False))]
    with pytest.raises(ConfigError, match='no common axis'):
        draw_training_curves(runs)


def test_table_by_hand():
    (table,) = tables(describe(SEEDS, [Path('a')] * 3))
    assert table.columns == ['name', 'runs', '1', '2', 'best']
    assert table.rows == [
        ['host', '2', '20.0', '40.0', '40.0'],
        ['ours', '1', '40.0', '–', '40.0'],
    ]
    assert not table.notes


def test_table_of_a_long_run_has_some_steps_and_the_last():
    history = History([loss(1, 1.0)], [ap(n, n / 100) for n in range(1, 37)])
    (table,) = tables(describe([('run', history)], [Path('a')]))
    assert table.columns[2:-1] == [str(n) for n in range(4, 37, 4)]
    (table,) = tables(describe([('run', History([loss(1, 1.0)], []))], [Path('a')]))
    assert table.rows == [['run', '1', '–']]


def test_runs_of_models_are_the_logs_beside_their_checkpoints(tmp_path):
    names = ('host', 'ours')
    models = [
        SimpleNamespace(name=n, checkpoint=str(tmp_path / n / 'x.pth')) for n in names
    ]
    runs = CURVES.subject.of(models)
    assert observers_of(CURVES, runs, {}) == []
    with pytest.raises(ConfigError, match='there is no training log'):
        conclude(CURVES, runs, {}, [])
    write(tmp_path / 'ours', '20260101_000000', FIRST)
    numbers, _ = conclude(CURVES, runs, {}, [])
    (row,) = numbers['runs']
    (note,) = tables(numbers)[0].notes
    assert note.startswith('host: left out, there is no training log')
    assert (row['name'], row['work_dir']) == ('ours', str(tmp_path / 'ours'))


def test_a_training_that_went_on_is_another_origin(tmp_path):
    models = [SimpleNamespace(name='host', checkpoint=str(tmp_path / 'epoch_4.pth'))]
    models = CURVES.subject.of(models)
    assert origin_of(CURVES, models, {})['log_sizes'] == [0]
    write(tmp_path, '20300101_000000', FIRST[:1])
    before = origin_of(CURVES, models, {})
    assert before['work_dirs'] == [str(tmp_path)]
    write(tmp_path, '20300101_010000', FIRST[1:])
    assert origin_of(CURVES, models, {}) != before


def test_script_shows_what_it_writes(tmp_path, capsys):
    write(tmp_path, '20260101_000000', FIRST)
    run_script('analysis/training_curves', tmp_path, '--names', 'mine')
    result = json.loads((tmp_path / 'curves.json').read_text())
    assert result['origin']['names'] == ['mine']
    assert (tmp_path / 'curves.png').stat().st_size > 10_000
    printed = capsys.readouterr().out
    for table in tables(result['numbers']):
        print_table(table)
    assert capsys.readouterr().out in printed
