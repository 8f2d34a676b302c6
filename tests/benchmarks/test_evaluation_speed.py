"""The benchmark of the evaluation: each way finds the same in the same data."""

import json

from benchmarks.speed import evaluation, evaluation_ways


def test_each_way_is_measured_and_they_agree(tmp_path):
    out = tmp_path / 'speed.json'
    words = ['--images', '6', '--objects', '40', '--repeats', '2', '--out', str(out)]
    evaluation.main(words)
    result = json.loads(out.read_text())
    ways = {'CocoMetric', 'FastCocoMetric', 'pycocotools', 'hotcoco', 'report'}
    assert set(result['measured']) == ways
    for way in result['measured'].values():
        assert len(way['seconds']) == 2 and way['median'] > 0
    assert 0.05 < result['settings']['ap'] < 0.95
    data = evaluation_ways.make_data(6, 40, 100)
    assert len(data.truth['annotations']) == 40
    assert [len(scores) for *_, scores in data.found] == [100] * 6
