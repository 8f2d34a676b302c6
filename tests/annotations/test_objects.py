"""Which objects are usable, by upstream's own classes; boxes that look wrong."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset

from check_each import check_each
from coco_file import faults, sound, use, write
from mmdet_qrpaq.annotations import check_annotations, read_annotations
from mmdet_qrpaq.annotations.use import reasons, usable
from mmdet_qrpaq.finding import Severity

# What can be wrong with the second object, and the reason that is told.
LEFT_OUT = [
    (dict(image_id=9), 'image'),
    (dict(image_id='1'), 'image'),
    (dict(category_id=8), 'category'),
    (dict(category_id='7'), 'category'),
    (dict(ignore=1), 'ignore'),
    (dict(iscrowd=1), 'crowd'),
    (dict(area=0), 'area'),
    (dict(area=-2.5), 'area'),
    (dict(bbox=[5, 5, 0.9, 4]), 'box'),
    (dict(bbox=[5, 5, 4, 0]), 'box'),
    (dict(bbox=[5, 5, -4, -4]), 'box'),
    (dict(bbox=[0.1, 0.2, 0.3, 0.4]), 'box'),
    (dict(bbox=[100, 5, 4, 4]), 'outside'),
    (dict(bbox=[5, -4, 4, 4]), 'outside'),
    (dict(image_id=2), 'image size'),
]


def upstream(path, folder, classes=('bolt', 'nut'), min_size=50) -> list:
    """What mmdet's data set learns from: boxes as corners, and labels."""
    dataset = CocoDataset(
        ann_file=path,
        data_prefix=dict(img=str(folder)),
        metainfo=dict(classes=classes),
        filter_cfg=dict(filter_empty_gt=True, min_size=min_size),
        pipeline=[],
    )
    instances = [i for n in range(len(dataset)) for i in dataset[n]['instances']]
    return [(i['bbox'], i['bbox_label']) for i in instances if not i['ignore_flag']]


def ours(path, classes=('bolt', 'nut'), min_size=50) -> list:
    found = read_annotations(path)
    settings = use(classes=classes, min_size=min_size)
    rows = np.flatnonzero(usable(found, settings))
    rows = rows[np.argsort(found.image_rows[rows], kind='stable')]
    return [
        (
            [x, y, x + w, y + h],
            [n for n in found.names if n in classes].index(found.names[category]),
        )
        for (x, y, w, h), category in zip(
            found.boxes[rows].tolist(), found.category_rows[rows], strict=True
        )
    ]


def test_usable_are_those_that_upstream_keeps(tmp_path):
    def check(name, change, reason):
        coco = sound()
        coco['annotations'][1] |= change
        path = write(tmp_path, coco)
        left_out = reasons(read_annotations(path), use(min_size=50))
        assert left_out[reason][1]
        assert ours(path) == upstream(path, tmp_path)
        assert len(ours(path)) == 1
        assert ours(path, min_size=0) == upstream(path, tmp_path, min_size=0)

    check_each(check, [(f'{case}', *case) for case in LEFT_OUT])


def test_usable_of_random_files_are_those_that_upstream_keeps(tmp_path):
    rng = np.random.default_rng(0)
    coco = sound()
    for number in range(400):
        coco['annotations'].append(
            dict(
                id=100 + number,
                image_id=int(rng.integers(0, 4)),
                category_id=int(rng.choice([3, 7, 9])),
                bbox=rng.integers([-30, -30, -2, -2], [110, 90, 60, 60]).tolist(),
                area=int(rng.integers(-1, 9)),
                iscrowd=int(rng.random() < 0.2),
                ignore=int(rng.random() < 0.2),
            )
        )
    path = write(tmp_path, coco)
    for classes in (('bolt', 'nut'), ('nut',)):
        kept = ours(path, classes)
        assert 10 < len(kept) < 200
        assert kept == upstream(path, tmp_path, classes)


def test_nothing_to_learn_from_is_refused_with_the_reason(tmp_path):
    def check(name, change, reason):
        coco = sound()
        for entry in coco['annotations'][:2]:
            entry |= change
        del coco['annotations'][2]
        coco['images'][1]['width'] = 64
        found = read_annotations(write(tmp_path, coco))
        (first, *_) = [
            f
            for f in check_annotations(found, use(tmp_path, min_size=50))
            if f.kind == 'nothing-usable'
        ]
        assert first.severity == Severity.ERROR
        assert 'none of its 2 objects can be learned from: 2 ' in str(first)
        assert '(the first is annotation 11' in str(first)

    check_each(check, [(f'{case}', *case) for case in LEFT_OUT])


def test_sentences(tmp_path):
    coco = sound()
    coco['annotations'][1]['category_id'] = '7'
    coco['annotations'][2]['area'] = 0
    told = faults(tmp_path, coco)
    assert told == {
        'objects-dropped': f'{tmp_path}/a.json: 2 of its 3 objects cannot be '
        'learned from: 1 with a category_id that no category of the file has (the '
        "first is annotation 12 in image a.png: '7'), 1 with an area of 0 or less (the "
        'first is annotation 13 in image b.png); write ids of the list categories, as '
        'the same kind of number or text.'
    }
    # pycocotools looks for it even if its area is 0.
    assert (
        '1 of its 3 objects cannot be compared with detections'
        in (faults(tmp_path, coco, learned=False, judged=True)['objects-dropped'])
    )


JUDGED = dict(learned=False, judged=True)
# What leaves nothing to judge, and what is said of it.
UNJUDGED = [
    (dict(area=-5), '3 with an area below 0 or above 1e10'),
    (dict(area=1e11), '3 with an area below 0 or above 1e10'),
    (dict(bbox=[0.25, 0.25, 0.5, 0.5]), 'as shares of the image'),
    (dict(bbox=[10, 10, 0, 30]), '3 with a box of less than one pixel'),
    (dict(bbox=[40, 10, -20, 30]), '3 with a box of less than one pixel'),
    (dict(bbox=[500, 10, 20, 30]), '3 with a box outside their image'),
    (dict(iscrowd=1), '3 marked with iscrowd'),
]


def test_nothing_to_judge_is_refused_with_the_reason(tmp_path):
    def check(change, reason):
        coco = sound()
        for entry in coco['annotations']:
            entry |= change
        told = faults(tmp_path, coco, **JUDGED)['nothing-usable']
        assert 'none of its 3 objects can be compared with detections' in told
        assert reason in told
        coco['annotations'][0] = sound()['annotations'][0]
        told = faults(tmp_path, coco, **JUDGED)['objects-dropped']
        assert '2 of its 3 objects cannot be compared with detections' in told

    check_each(check, UNJUDGED)


def test_shares_of_the_image_are_told_as_such(tmp_path):
    coco = sound()
    for entry in coco['annotations']:
        entry['bbox'] = [0.25, 0.25, 0.5, 0.5]
    told = faults(tmp_path, coco)['nothing-usable']
    assert 'shares of the image: multiply them by its width and height' in told


def test_some_crowds_are_usual_and_most_are_told(tmp_path):
    coco = sound()
    coco['annotations'][0]['iscrowd'] = 1
    assert faults(tmp_path, coco) == {}
    coco['annotations'][1]['iscrowd'] = 1
    assert '2 marked with iscrowd' in faults(tmp_path, coco)['objects-dropped']


def test_categories_that_the_config_leaves_out_are_not_told(tmp_path):
    assert faults(tmp_path, sound(), classes=('nut',)) == {}
    coco = sound()
    del coco['annotations'][1]
    told = faults(tmp_path, coco, classes=('nut',))
    assert 'none of its 2 objects is of the classes' in told['nothing-usable']


def test_an_empty_list_of_objects_is_left_to_the_run(tmp_path):
    coco = sound() | dict(annotations=[])
    assert faults(tmp_path, coco) == {}


def test_no_image_that_upstream_keeps(tmp_path):
    coco = sound() | dict(annotations=[])
    path = write(tmp_path, coco)
    with pytest.raises(ValueError, match='need at least one array'):
        upstream(path, tmp_path)
    told = faults(tmp_path, coco, only_annotated=True, min_size=50)['no-image-left']
    assert 'none of its 2 images is used: 2 hold no object' in told
    told = faults(tmp_path, coco, min_size=90)['no-image-left']
    assert '0 hold no object of the classes, 2 are smaller than 90 pixels' in told
    assert faults(tmp_path, coco, only_annotated=True, learned=False) == {}


def test_boxes_beyond_their_image(tmp_path):
    coco = sound()
    coco['annotations'][1]['bbox'] = [50, 40, 52, 10]
    told = faults(tmp_path, coco)['box-beyond-image']
    assert 'annotation 12 in image a.png: its box [50.0, 40.0, 52.0, 10.0]' in told
    assert 'of 100 x 80 pixels; look at' in told
    # Up to a pixel is rounding.
    coco['annotations'][1]['bbox'] = [-1, 40, 102, 10]
    assert faults(tmp_path, coco) == {}


def test_corners_read_as_sizes(tmp_path):
    coco = sound()
    for entry in coco['annotations']:
        x, y, w, h = entry['bbox']
        entry['bbox'] = [x, y, x + w, y + h]
    told = faults(tmp_path, coco)['box-beyond-image']
    assert '3 of 3 boxes fit once read as corners x1, y1, x2, y2' in told


def test_more_objects_than_queries(tmp_path):
    assert faults(tmp_path, sound(), queries=2) == {}
    told = faults(tmp_path, sound(), queries=1)['more-objects-than-queries']
    assert 'image a.png: it holds 2 objects, and model.num_queries is 1' in told
    coco = sound()
    coco['annotations'][0]['iscrowd'] = 1
    assert faults(tmp_path, coco, queries=1) == {}


@pytest.mark.parametrize('name', ['screw', '0'])
def test_classes_that_the_file_lacks(tmp_path, name):
    told = faults(tmp_path, sound(), classes=('bolt', 'nut', name))['classes']
    assert f"1 of its 3 classes ('{name}') are not among the 2 categories" in told


def test_text_ids_are_sound_where_all_are_text(tmp_path):
    coco = json.loads(json.dumps(sound()))
    for entry in coco['annotations']:
        entry |= {key: str(entry[key]) for key in ('image_id', 'category_id')}
    for entry in coco['images'] + coco['categories']:
        entry['id'] = str(entry['id'])
    assert faults(tmp_path, coco) == {}
    path = write(tmp_path, coco)
    assert ours(path, min_size=0) == upstream(path, tmp_path, min_size=0)
