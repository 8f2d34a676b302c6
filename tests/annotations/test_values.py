"""Keys, numbers and ids of COCO files, each fault in a file that is sound otherwise."""

import json

import numpy as np
import pytest

from check_each import check_each
from coco_file import faults, sound, use, write
from mmdet_qrpaq.annotations import check_annotations, read_annotations
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.finding import Severity

NAN, INF = float('nan'), float('inf')


def test_a_sound_file_has_no_faults(tmp_path):
    for settings in (dict(), dict(judged=True, learned=False), dict(masks=True)):
        assert faults(tmp_path, sound(), **settings) == {}


def test_columns_are_those_of_the_file(tmp_path):
    found = read_annotations(write(tmp_path, sound()))
    assert found.names == ('bolt', 'nut')
    assert found.sizes.tolist() == [[100, 80], [64, 48]]
    assert found.boxes[1].tolist() == [50, 40, 30.5, 10]
    assert found.areas.tolist() == [600, 305, 64 * 48]
    assert found.image_rows.tolist() == [0, 0, 1]
    assert found.category_rows.tolist() == [0, 1, 0]
    assert not found.crowds.any()
    assert json.loads(bytes(found.read_segmentations()[2])) == [
        [0, 0, 64, 0, 64, 48, 0, 48]
    ]


# Table, key and value of one entry -> what the sentence names.
NO_NUMBERS = [
    (
        'annotations',
        'bbox',
        [NAN] * 4,
        'annotation 12 in image a.png: its bbox is [NaN, NaN, NaN, NaN], where',
    ),
    ('annotations', 'bbox', [1, 2, INF, 4], 'four numbers must stand'),
    ('annotations', 'bbox', [1, 2, -INF, 4], 'its bbox is [1, 2, -Infinity, 4], where'),
    ('annotations', 'bbox', [], 'annotation 12 in image a.png: its bbox is []'),
    ('annotations', 'bbox', [1, 2, 3], 'its bbox is [1, 2, 3]'),
    ('annotations', 'bbox', [1, 2, 3, 4, 5], 'four numbers'),
    ('annotations', 'bbox', '1 2 3 4', "its bbox is '1 2 3 4'"),
    ('annotations', 'bbox', ['1', 2, 3, 4], 'four numbers'),
    ('annotations', 'bbox', [True, 2, 3, 4], 'four numbers'),
    ('annotations', 'bbox', [1, 2, 10**400, 4], 'four numbers'),
    ('annotations', 'bbox', {'x': 1}, 'four numbers'),
    ('annotations', 'area', NAN, 'its area is'),
    ('annotations', 'area', '305', "its area is '305', where a number must stand"),
    ('annotations', 'iscrowd', '0', "its iscrowd is '0', where 0 or 1"),
    ('annotations', 'iscrowd', 2, 'its iscrowd is 2'),
    ('annotations', 'image_id', [1], 'its image_id is [1]'),
    ('annotations', 'category_id', [7], 'its category_id is [7]'),
    ('images', 'width', '64', "image b.png: its width is '64'"),
    ('images', 'height', 0, 'its height is 0, where a number above 0'),
    ('images', 'height', NAN, 'image b.png: its height'),
    ('images', 'id', [2], 'image b.png: its id is [2]'),
    ('images', 'file_name', 5, 'image number 2: its file_name is 5'),
    ('categories', 'name', ['nut'], "category number 2: its name is ['nut']"),
    ('categories', 'id', {}, "category 'nut': its id is {}"),
]


def test_what_is_no_number_is_named(tmp_path):
    def check(case, table, key, value, expected):
        coco = sound()
        coco[table][1][key] = value
        found = read_annotations(write(tmp_path, coco))
        first = check_annotations(found, use(tmp_path))[0]
        assert (first.kind, first.severity) == ('number', Severity.ERROR)
        assert expected in str(first), str(first)

    check_each(check, [(f'{case}', *case) for case in NO_NUMBERS])


def test_all_of_a_kind_are_one_finding(tmp_path):
    coco = sound()
    for entry in coco['annotations'][1:]:
        entry['bbox'] = [NAN] * 4
    found = read_annotations(write(tmp_path, coco))
    assert np.isnan(found.boxes).any(1).tolist() == [False, True, True]
    (finding,) = check_annotations(found, use(tmp_path))
    assert finding.count == 2
    assert '(as in 1 more); correct' in str(finding)


def test_a_nan_that_nobody_reads_is_no_fault(tmp_path):
    coco = sound()
    coco['annotations'][0]['score'] = NAN
    coco['info'] = dict(year=INF)
    assert faults(tmp_path, coco) == {}


def test_keys_that_nobody_can_fill_in(tmp_path):
    def check(table, key, value):
        coco = sound()
        if value is None:
            coco[table][1][key] = None
        else:
            del coco[table][1][key]
        found = read_annotations(write(tmp_path, coco))
        first = check_annotations(found, use(tmp_path))[0]
        assert first.kind == 'missing-key'
        assert f'it has no {key}; write {key} for each' in str(first)

    keys = dict(
        images=('id', 'file_name'),
        annotations=('image_id', 'category_id', 'bbox'),
        categories=('id', 'name'),
    )
    check_each(
        check,
        [(table, key, v) for table in keys for key in keys[table] for v in (None, 1)],
    )


def test_sizes_are_needed_where_no_image_can_be_looked_at(tmp_path):
    coco = sound()
    del coco['images'][0]['width']
    found = read_annotations(write(tmp_path, coco))
    (finding,) = check_annotations(found, use(None))
    assert 'image a.png: it has no width' in str(finding)
    assert check_annotations(found, use(tmp_path)) == []


@pytest.mark.parametrize(
    ('table', 'expected'),
    [
        ('images', 'image b.png: its id 1 is also that of image a.png'),
        ('categories', "category 'nut': its id 3 is also that of category 'bolt'"),
    ],
)
def test_ids_that_repeat(tmp_path, table, expected):
    coco = sound()
    coco[table][1]['id'] = coco[table][0]['id']
    assert expected in faults(tmp_path, coco, learned=False)['ids']


def test_ids_that_pycocotools_cannot_sort(tmp_path):
    coco = sound()
    coco['images'][1]['id'] = coco['annotations'][2]['image_id'] = '2'
    told = faults(tmp_path, coco, learned=False)['ids']
    assert "image b.png: its id is '2', and others are numbers; write all ids" in told


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"images": [', 'not readable as JSON'),
        (b'\xff\xfe', 'not in UTF-8'),
        ('{"images": [], "categories": []}'.encode('utf-16'), 'not in UTF-8'),
        ('{"images": [], "categories": []}'.encode('utf-16-le'), 'not readable as'),
        (b'{"images": [], "categories": [], "by": "M\xfcller"}', 'not in UTF-8'),
        (b'', 'not readable as JSON'),
        (b'[]', 'not in the COCO format'),
        (b'{"images": [1], "categories": []}', 'not in the COCO format .*images'),
        (b'{"images": [], "annotations": []}', 'not in the COCO format .*categories'),
        (b'{"info": ' + b'[' * 10**5, 'not readable as JSON'),
    ],
)
def test_what_is_no_coco_file(tmp_path, content, message):
    path = tmp_path / 'broken.json'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_annotations(str(path))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match='cannot be read .*directory'):
        read_annotations(str(tmp_path))


def test_an_image_that_is_listed_twice(tmp_path):
    coco = sound()
    coco['images'].append(dict(coco['images'][0], id=77))
    told = faults(tmp_path, coco)
    assert list(told) == ['image-repeated']
    assert 'image a.png: it is listed twice, with the ids 1 and 77' in str(told)
