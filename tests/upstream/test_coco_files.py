"""What mmdet and pycocotools make of COCO files, without this package.

Each test holds a row of docs/upstream.md: one that fails tells of a new release that
does otherwise, and the row and what we do about it can go.
"""

import contextlib
import copy
import io
import json
from importlib.metadata import version

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.evaluation import CocoMetric
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import encode

NAMES = ('bolt', 'nut')


def coco(*objects, images=1, **size):
    """A file's content; of each object what differs from a square on image 1."""
    size = dict(width=100, height=100) | size
    square = dict(image_id=1, category_id=1, bbox=[10, 10, 20, 20], area=400, iscrowd=0)
    return dict(
        info={},
        images=[dict(id=i + 1, file_name=f'{i}.png', **size) for i in range(images)],
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(NAMES)],
        annotations=[dict(square, id=i + 1) | one for i, one in enumerate(objects)],
    )


def kept(tmp_path, content, classes=NAMES, **settings) -> CocoDataset:
    """The data set of a training, as mmdet keeps it."""
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(content))
    return CocoDataset(
        **(dict(data_prefix=dict(img='')) | settings),
        ann_file=str(path),
        metainfo=dict(classes=classes),
        pipeline=[],
        filter_cfg=dict(filter_empty_gt=True, min_size=0),
    )


def instances(tmp_path, *objects, **settings) -> list[dict]:
    return kept(tmp_path, coco(*objects, **settings))[0]['instances']


def score(content, boxes=None, kind='bbox', max_dets=(1, 10, 100)) -> float:
    """AP of detections: the objects' own boxes, or others for them."""
    content = copy.deepcopy(content)
    found = [
        dict(image_id=a['image_id'], category_id=a['category_id'], bbox=box, score=0.9)
        for a, box in zip(
            content['annotations'],
            boxes or [a['bbox'] for a in content['annotations']],
            strict=True,
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), kind)
        run.params.maxDets = list(max_dets)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return round(float(run.stats[0]), 9)


SQUARES = [dict(image_id=i + 1) for i in range(7)]


def test_the_object_with_id_0_is_never_found():
    """Seven objects, each detected exactly."""
    from_one = coco(*SQUARES, images=7)
    assert score(from_one) == 1
    from_zero = coco(*({**s, 'id': i} for i, s in enumerate(SQUARES)), images=7)
    # A false alarm, too: precision 6/7 at the 86 of 101 recalls up to 6/7.
    assert score(from_zero) == pytest.approx(86 / 101 * 6 / 7)


def test_a_box_of_nan_is_found_anywhere():
    missed = [[70, 70, 5, 5]]
    assert score(coco({}), missed) == 0
    assert score(coco(dict(bbox=[np.nan] * 4)), missed) == 1


def test_a_polygon_of_two_corners_ends_the_evaluation_of_masks():
    truth = COCO()
    truth.dataset = coco(
        dict(segmentation=[[10, 10, 30, 30], [10, 10, 30, 10, 30, 30, 10, 30]]),
        dict(segmentation=[[10, 10, 30, 10, 30, 30, 10, 30], [10, 10, 30, 30]]),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    first, second = truth.dataset['annotations']
    with pytest.raises(TypeError):
        truth.annToRLE(first)
    assert truth.annToMask(second).sum() == 400  # it is looked for in the first alone


def test_objects_are_dropped_without_a_word(tmp_path, capsys):
    dropped = (
        dict(category_id='1'),
        dict(category_id=9),
        dict(area=0),
        dict(bbox=[np.nan] * 4),
        dict(bbox=[10, 10, 0.9, 20]),
        dict(bbox=[0.1, 0.1, 0.2, 0.2]),  # shares of the image
        dict(bbox=[200, 10, 20, 20]),
        dict(ignore=1),
    )
    capsys.readouterr()
    assert len(instances(tmp_path, *dropped, {})) == 1
    told = ''.join(capsys.readouterr()).lower()
    assert 'drop' not in told and 'warn' not in told


def test_an_image_of_dropped_objects_is_background(tmp_path):
    """Though images without objects are to be left out."""
    found = kept(tmp_path, coco(dict(area=0), images=2))
    assert [one['img_id'] for one in found] == [1]
    assert found[0]['instances'] == []


def test_crowds_stay_and_are_not_learned_from(tmp_path):
    flags = [one['ignore_flag'] for one in instances(tmp_path, dict(iscrowd=1), {})]
    assert flags == [1, 0]


def test_labels_are_in_the_order_of_the_file(tmp_path):
    content = coco(dict(category_id=1), dict(category_id=2))
    for classes in (NAMES, NAMES[::-1]):
        found = kept(tmp_path, content, classes)
        assert [one['bbox_label'] for one in found[0]['instances']] == [0, 1]
        assert found.metainfo['classes'] == classes


def test_the_size_in_the_file_is_compared_with_nothing(tmp_path):
    """Boxes go beyond an image of 40 pixels that the file takes for 100."""
    Image.new('RGB', (40, 40)).save(tmp_path / '0.png')
    content = coco(dict(bbox=[50, 50, 20, 20]))
    sample = kept(tmp_path, content, data_prefix=dict(img=str(tmp_path)))[0]
    sample = LoadAnnotations()(LoadImageFromFile()(sample))
    assert sample['img_shape'] == (40, 40)
    assert sample['gt_bboxes'].tensor.tolist() == [[50, 50, 70, 70]]


def test_ids_that_repeat_end_in_an_assertion(tmp_path):
    with pytest.raises(AssertionError, match='are not unique'):
        kept(tmp_path, coco(dict(id=1), dict(id=1)))


def test_what_a_training_can_do_without_ends_its_validation(tmp_path):
    """`iscrowd` for the data set; the metric asks for it after the first epoch."""
    content = coco({})
    del content['annotations'][0]['iscrowd']
    assert len(kept(tmp_path, content)[0]['instances']) == 1
    with pytest.raises(KeyError, match='iscrowd'):
        score(content)
    content = coco({})
    del content['annotations'][0]['area']
    with pytest.raises(KeyError, match='area'):
        kept(tmp_path, content)


def test_info_is_needed_by_two_releases():
    content = coco({})
    del content['info']
    if version('pycocotools') in ('2.0.9', '2.0.10'):
        with pytest.raises(KeyError, match='info'):
            score(content)
    else:
        assert score(content) == 1


def test_ap_is_minus_1_without_100_detections():
    content = coco(*SQUARES, images=7)
    assert score(content) == 1
    assert score(content, max_dets=(1, 10, 300)) == -1
    metric = CocoMetric(metric='bbox', proposal_nums=(100, 300, 1000))
    assert list(metric.proposal_nums) == [100, 300, 1000]


def test_a_result_with_a_box_and_a_mask_is_as_large_as_its_box():
    whole = np.zeros((100, 100), np.uint8, order='F')
    whole[:10, :10] = 1
    rle = encode(whole)
    mask = dict(size=rle['size'], counts=rle['counts'].decode())
    result = dict(image_id=1, category_id=1, score=0.9, segmentation=mask)
    truth = COCO()
    truth.dataset = coco({})
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        areas = [
            truth.loadRes([one]).anns[1]['area']
            for one in (dict(result, bbox=[0, 0, 50, 50]), dict(result))
        ]
    assert areas == [2500, 100]
