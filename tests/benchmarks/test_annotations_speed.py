"""The benchmark of annotation files: a sound file, read in each way."""

import json

from benchmarks.speed import annotations, annotations_reading
from mmdet_qrpaq.annotations import read_annotations


def test_the_file_is_as_large_as_it_is_said_to_be(tmp_path):
    size = annotations_reading.write_data(tmp_path, 7, 30)
    assert size == (tmp_path / 'coco.json').stat().st_size
    found = read_annotations(str(tmp_path / 'coco.json'))
    assert (len(found.images['id']), len(found), len(found.names)) == (7, 30, 80)
    assert len(list((tmp_path / 'images').iterdir())) == 7


def test_each_way_is_measured_in_its_own_process(tmp_path):
    out = tmp_path / 'speed.json'
    words = ['--images', '5', '--objects', '20', '--repeats', '1', '--out', str(out)]
    annotations.main(words)
    result = json.loads(out.read_text())
    assert set(result['measured']) == set(annotations_reading.WAYS)
    for (run,) in result['measured'].values():
        assert run['seconds'] > 0 and run['memory_bytes'] >= 0
    assert result['environment']['commit']
