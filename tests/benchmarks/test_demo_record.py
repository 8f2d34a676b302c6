"""What is recorded of the demo, and how it is shown."""

import json

import pytest

from benchmarks import demo, pages

SECONDS = dict(
    data=dict(wall=6.0, cpu=5.0),
    train=dict(wall=150.0, cpu=210.0),
    test=dict(wall=24.0, cpu=25.0),
)


@pytest.fixture
def measured(tmp_path, monkeypatch):
    for name, content in (
        ('demo', dict(train='inputs', seconds=SECONDS)),
        ('ap_table', {'AP': {'AP': 0.7, 'AP50': 0.8, 'AP75': 0.75}}),
        ('query_usage', dict(numbers=dict(models=[dict(gini=0.5)]))),
        ('val_predictions', dict(numbers=dict(score_threshold=0.31))),
    ):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    monkeypatch.setattr(demo, 'WORK_DIR', tmp_path)
    return demo.measured()


def test_times_and_threshold_are_recorded(measured):
    assert measured['score_threshold'] == 0.31
    assert measured['training_minutes'] == 2.5
    assert measured['seconds'] == SECONDS
    assert (measured['AP50'], measured['gini']) == (0.8, 0.5)


def test_a_result_is_shown_with_times_and_an_older_one_without(measured, monkeypatch):
    result = json.loads((pages.RESULTS / 'demo_digits.json').read_text())
    rows = []
    for found in (measured, {k: v for k, v in measured.items() if k != 'seconds'}):
        result['measured'] = found
        monkeypatch.setattr(pages, 'load', lambda name: result)
        rows.append(pages.demo_table().splitlines()[2])
    assert rows == [
        '| 0.700 | 0.800 | 0.750 | 0.50 | 2.5 min | 3.0 min | 4.0 min |',
        '| 0.700 | 0.800 | 0.750 | 0.50 | 2.5 min | - | - |',
    ]
