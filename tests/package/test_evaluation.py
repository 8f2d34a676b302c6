"""FastCocoMetric: all numbers of mmdet's CocoMetric, to the last bit."""

import json
import math
import sys

import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from check_each import check_each
from mmdet_qrpaq.command_line import run
from mmdet_qrpaq.evaluation import FastCocoMetric
from mmdet_qrpaq.runtime.building import quietly
from mmdet_qrpaq.settings.metrics import is_coco
from reference.coco_sets import evaluated, random_looks

NAMES = ('a', 'b', 'c', 'd')


def measured(kind, path, looks, **settings):
    with quietly():
        metric = kind(str(path), classwise=True, **settings)
        metric.dataset_meta = dict(classes=NAMES)
        for image, look in looks.items():
            found = look.found
            sample = dict(img_id=image, ori_shape=(500, 500))
            metric.process({}, [dict(sample, pred_instances=dict(found.items()))])
        return metric.evaluate(len(looks))


@pytest.fixture
def check_set(tmp_path):
    def check(seed):
        looks = random_looks(seed)
        data = evaluated(looks, 4, 0.5).cocoGt.dataset
        for row in data['annotations']:
            # Areas of masks, some on the bounds of COCO's sizes.
            row['area'] = (row['area'] * 0.7, 32**2, 96**2)[row['id'] % 3]
        for row, name in zip(data['categories'], NAMES, strict=True):
            row['name'] = name
        path = tmp_path / 'truth.json'
        path.write_text(json.dumps(data))
        settings = dict(metric=['bbox', 'proposal'] if seed % 3 == 0 else 'bbox')
        if seed % 5 == 0:
            settings.update(proposal_nums=(10, 100, 200))
        mine, theirs = (
            measured(kind, path, looks, **settings)
            for kind in (FastCocoMetric, CocoMetric)
        )
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            same = value == mine[key] or math.isnan(value) and math.isnan(mine[key])
            assert same, (key, value, mine[key])

    return check


def test_numbers_are_those_of_mmdet(check_set):
    check_each(check_set, range(20))


@pytest.mark.slow
def test_numbers_are_those_of_mmdet_on_more_sets(check_set):
    check_each(check_set, range(20, 300))


def test_it_is_known_by_its_name_and_leaves_mmdet_as_it_was(check_set):
    from mmdet.datasets.api_wrappers import COCOeval
    from mmdet.evaluation.metrics import coco_metric

    assert METRICS.get('FastCocoMetric') is FastCocoMetric
    assert is_coco(dict(type='mmdet.FastCocoMetric')) and is_coco(dict(type=CocoMetric))
    assert not is_coco(dict(type='VOCMetric'))
    check_set(1)
    assert coco_metric.COCOeval is COCOeval


def test_the_library_is_asked_for_before_a_run(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'hotcoco', None)
    with pytest.raises(SystemExit):
        run(lambda: FastCocoMetric())
    assert "pip install 'mmdet_qrpaq[analysis]'" in capsys.readouterr().err


def test_masks_are_left_to_pycocotools(tmp_path):
    square = [[0.0, 0.0, 8.0, 0.0, 8.0, 8.0, 0.0, 8.0]]
    row = dict(id=1, image_id=0, category_id=1, iscrowd=0, area=64)
    data = dict(
        images=[dict(id=0, width=16, height=16)],
        categories=[dict(id=1, name='a')],
        annotations=[dict(row, bbox=[0, 0, 8, 8], segmentation=square)],
    )
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(data))
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, :8, :8] = True
    found = dict(
        bboxes=torch.tensor([[0.0, 0, 8, 8]]),
        labels=torch.tensor([0]),
        scores=torch.tensor([0.9]),
        masks=masks,
    )
    with quietly():
        metric = FastCocoMetric(str(path), metric=['bbox', 'segm'])
        metric.dataset_meta = dict(classes=('a',))
        sample = dict(img_id=0, ori_shape=(16, 16), pred_instances=found)
        metric.process({}, [sample])
        measured = metric.evaluate(1)
    assert measured['coco/bbox_mAP'] == measured['coco/segm_mAP'] == 1
