"""Whatever is wrong in one place: it is told, mended, or does not matter upstream."""

import contextlib
import copy
import io

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from check_each import check_each
from coco_file import sound, use, write
from mmdet_qrpaq.annotations import (
    check_annotations,
    find_mends,
    read_annotations,
    write_mended,
)
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.finding import Severity

NUMBERS = (0, -1, 0.5, 1e9, float('nan'), float('inf'), 10**40)
OTHERS = (None, True, '', '1', 'x', [], [1], [[]], [[1, 1, 5, 5]], {}, {'a': 1})
VALUES = (*NUMBERS, *OTHERS)


def places(value, path=()):
    """Every place in a document, from the outside in."""
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    for key, child in children:
        yield from places(child, (*path, key))


def changed(coco, path, value):
    """The document with another value in a place; `...`: with nothing there."""
    coco = copy.deepcopy(coco)
    *parents, last = path
    part = coco
    for key in parents:
        part = part[key]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return coco


def read_by_upstream(path: str, masks: bool, told: bool) -> None:
    """Train on it, and evaluate perfect detections.

    Args:
        told: Whether some of its objects were said to be left out, or useless.
    """
    data = CocoDataset(
        ann_file=path,
        data_prefix=dict(img=''),
        metainfo=dict(classes=('bolt', 'nut')),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[],
    )
    load = LoadAnnotations(with_bbox=True, with_mask=masks)
    objects = 0
    for number in range(len(data)):
        info = data.get_data_info(number)
        loaded = load(dict(info, ori_shape=(int(info['height']), int(info['width']))))
        boxes = loaded['gt_bboxes'].tensor[~loaded['gt_ignore_flags']]
        assert boxes.isfinite().all()
        objects += len(boxes)
    assert objects
    truth = COCO(path)
    assert all(np.isfinite(a['bbox']).all() for a in truth.dataset['annotations'])
    known = [a for a in truth.dataset['annotations'] if a['image_id'] in truth.imgs]
    found = [
        dict(image_id=a['image_id'], category_id=a['category_id'], score=0.9)
        | dict(bbox=[float(value) for value in a['bbox']])
        for a in known
    ]
    for kind in ['bbox', 'segm'] if masks else ['bbox']:
        results = copy.deepcopy(found)
        if kind == 'segm':
            for result, entry in zip(results, known, strict=True):
                result['segmentation'] = truth.annToRLE(entry)
                del result['bbox']
        run = COCOeval(truth, truth.loadRes(results), kind)
        run.params.catIds = truth.getCatIds(catNms=['bolt', 'nut'])
        run.evaluate()
        run.accumulate()
        run.summarize()
        assert run.stats[0] == pytest.approx(1) or (told and run.stats[0] >= 0)


@pytest.mark.parametrize('step', [13, pytest.param(1, marks=pytest.mark.slow)])
def test_no_fault_gets_through(tmp_path, step):
    outcomes = {'refused': 0, 'mended': 0, 'harmless': 0}
    learned = use(tmp_path, masks=True, min_size=32, only_annotated=True)
    uses = [learned, use(tmp_path, masks=True, learned=False, judged=True)]

    def check(path, value):
        file = write(tmp_path, changed(sound(), path, value))
        try:
            found = read_annotations(file)
        except ConfigError:
            outcomes['refused'] += 1
            return
        findings = [f for each in uses for f in check_annotations(found, each)]
        if any(finding.severity == Severity.ERROR for finding in findings):
            outcomes['refused'] += 1
            assert all(len(str(finding)) < 600 for finding in findings)
            return
        mends = {mend.kind: mend for each in uses for mend in find_mends(found, each)}
        outcomes['mended' if mends else 'harmless'] += 1
        told = any(finding.kind == 'objects-dropped' for finding in findings)
        out = tmp_path / 'copy.json'
        write_mended(file, mends.values(), out)
        with contextlib.redirect_stdout(io.StringIO()):
            read_by_upstream(str(out) if mends else file, masks=True, told=told)

    cases = [(path, value) for path in places(sound()) for value in (..., *VALUES)]
    check_each(check, cases[::step])
    assert all(number > 2 for number in outcomes.values()), outcomes
