"""Where hotcoco, which matches boxes as pycocotools does, counts otherwise."""

import contextlib
import io

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_qrpaq.evaluation import FastCOCOeval

OBJECT = dict(id=1, image_id=0, category_id=1, bbox=[0, 0, 10, 10], area=100, iscrowd=0)


def data(*annotations):
    categories = [dict(id=1, name='a')]
    return dict(images=[dict(id=0)], categories=categories, annotations=[*annotations])


def evaluated(truth, found, max_dets=(1, 10, 100), kind=hotcoco):
    known = hotcoco.COCO(truth)
    evaluator = hotcoco.COCOeval(known, known.load_res(np.array(found)), 'bbox')
    if kind is not hotcoco:
        known = COCO()
        known.dataset = truth
        with contextlib.redirect_stdout(io.StringIO()):
            known.createIndex()
            evaluator = kind(known, known.loadRes(np.array(found)), 'bbox')
    evaluator.params.maxDets = [*max_dets]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def test_hotcoco_takes_ap_at_the_most_detections():
    # 150 wrong ones come before the right one: among the first 100 there is none.
    wrong = [[0, 50, 50, 10, 10, 0.9, 1]] * 150
    case = data(OBJECT), [*wrong, [0, 0, 0, 10, 10, 0.5, 1]], (100, 300, 1000)
    by = [evaluated(*case, kind) for kind in (hotcoco, COCOeval, FastCOCOeval)]
    assert [round(one.stats[0], 4) for one in by] == [round(1 / 151, 4), 0, 0]
    assert np.array_equal(by[0].eval['precision'], by[1].eval['precision'])


def test_hotcoco_counts_what_lies_in_a_crowd_as_on_background():
    # Half of it lies in the crowd, or a fifth: neither has an object to be near to.
    truth = data(OBJECT, dict(OBJECT, id=2, bbox=[50, 0, 10, 10], iscrowd=1))
    inside = evaluated(truth, [[0, 52, 2, 5, 5, 0.9, 1]])
    assert inside.confusion_matrix()['matrix'].tolist() == [[0, 1], [1, 0]]
    assert sum(inside.tide_errors()['counts'].values()) == 1  # the missed object
    beside = evaluated(truth, [[0, 58, 0, 10, 10, 0.9, 1]])
    counts = beside.tide_errors()['counts']
    assert (counts['Loc'], counts['Bkg']) == (1, 0)
