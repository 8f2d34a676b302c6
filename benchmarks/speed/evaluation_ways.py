"""Ground truth and detections of any number, and the ways to evaluate them.

Called by `evaluation.py`, which has the protocol.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import hotcoco
import numpy as np
import torch
from mmdet.evaluation import CocoMetric
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_qrpaq.analysis.detections.looks import Look
from mmdet_qrpaq.analysis.diagnosis import (
    calibration,
    confusion,
    error_types,
    thresholds,
)
from mmdet_qrpaq.evaluation import FastCocoMetric
from mmdet_qrpaq.runtime.building import quietly

CLASSES = tuple(f'class {number}' for number in range(80))
SIZE = (640, 480)
CROWD = 1 / 80  # of the objects


@dataclass(frozen=True)
class Data:
    """Ground truth as COCO's file has it, and detections.

    Attributes:
        truth: Content of the file.
        found: By image: boxes (x1, y1, x2, y2), labels and scores.
    """

    truth: dict
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def make_data(images: int, objects: int, detections: int) -> Data:
    """Return data that look like those of a trained detector, from one seed."""
    rng = np.random.default_rng(0)
    places = np.sort(rng.integers(images, size=objects))
    boxes = _boxes(rng, objects)
    labels = np.minimum(rng.geometric(0.06, objects) - 1, len(CLASSES) - 1)
    crowds = rng.random(objects) < CROWD
    sides = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    truth = dict(
        images=[
            dict(id=n, file_name=f'{n}.jpg', width=SIZE[0], height=SIZE[1])
            for n in range(images)
        ],
        categories=[dict(id=n, name=name) for n, name in enumerate(CLASSES, 1)],
        annotations=[
            dict(
                id=n + 1,
                image_id=int(places[n]),
                category_id=int(labels[n]) + 1,
                bbox=sides[n].tolist(),
                area=float(sides[n, 2:].prod()),
                iscrowd=int(crowds[n]),
            )
            for n in range(objects)
        ],
    )
    found = []
    for image in range(images):
        first, last = np.searchsorted(places, [image, image + 1])
        found.append(_detect(rng, boxes[first:last], labels[first:last], detections))
    return Data(truth, found)


def _boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    sides = np.exp(rng.uniform(np.log(8), np.log(240), (number, 2)))
    corners = rng.uniform(0, 1, (number, 2)) * np.subtract(SIZE, sides)
    return np.hstack([corners, corners + sides])


def _detect(
    rng: np.random.Generator, boxes: np.ndarray, labels: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found, kinds = _boxes(rng, number), rng.integers(len(CLASSES), size=number)
    scores = rng.beta(1, 12, number)
    near = min(3 * len(boxes), number)
    if near:
        which = rng.integers(len(boxes), size=near)
        sides = boxes[which, 2:] - boxes[which, :2]
        moved = boxes[which] + rng.normal(0, 0.08, (near, 4)) * np.tile(sides, 2)
        found[:near, :2] = np.minimum(moved[:, :2], moved[:, 2:] - 1)
        found[:near, 2:] = moved[:, 2:]
        same = rng.random(near) < 0.8
        kinds[:near][same] = labels[which][same]
        scores[:near] = rng.beta(2, 3, near)
    return found.astype(np.float32), kinds, scores.astype(np.float32)


def ways_of(data: Data) -> tuple[dict[str, Callable[[], object]], float]:
    """Return the ways, and the AP that all of them find.

    Raises:
        RuntimeError: They find another AP.
    """
    rows = [
        [image, x1, y1, x2 - x1, y2 - y1, score, label + 1]
        for image, part in enumerate(data.found)
        for (x1, y1, x2, y2), label, score in zip(
            *(values.tolist() for values in part), strict=True
        )
    ]
    rows = np.array(rows).reshape(-1, 7)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = data.truth
        known.createIndex()
        results = known.loadRes(rows)
    fast = hotcoco.COCO(data.truth)
    fast_results = fast.load_res(rows)

    def pycocotools() -> float:
        return _ap(COCOeval(known, results, 'bbox'))

    def by_hotcoco() -> float:
        return _ap(hotcoco.COCOeval(fast, fast_results, 'bbox'))

    metrics = [_metric(kind, data) for kind in (CocoMetric, FastCocoMetric)]
    ways = {
        'CocoMetric': lambda: _whole(metrics[0], data),
        'FastCocoMetric': lambda: _whole(metrics[1], data),
        'pycocotools': pycocotools,
        'hotcoco': by_hotcoco,
        'report': lambda: _report(data),
    }
    if pycocotools() != (ap := by_hotcoco()):
        raise RuntimeError('pycocotools and hotcoco find another AP.')
    return ways, ap


def _ap(evaluator: COCOeval | hotcoco.COCOeval) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return float(evaluator.stats[0])


def _metric(kind: type[CocoMetric], data: Data) -> CocoMetric:
    with tempfile.TemporaryDirectory() as folder, quietly():
        path = Path(folder, 'truth.json')
        path.write_text(json.dumps(data.truth))
        metric = kind(str(path), metric='bbox')
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def _whole(metric: CocoMetric, data: Data) -> dict:
    truth = dict(width=SIZE[0], height=SIZE[1])
    metric.results = [
        (
            dict(truth, img_id=image),
            dict(img_id=image, bboxes=boxes, labels=labels, scores=scores),
        )
        for image, (boxes, labels, scores) in enumerate(data.found)
    ]
    with quietly():
        return metric.evaluate(len(data.found))


def _report(data: Data) -> list[dict]:
    looks = {}
    crowds = [[[], []] for _ in data.found]
    truths = [[[], []] for _ in data.found]
    for row in data.truth['annotations']:
        x, y, width, height = row['bbox']
        part = (crowds if row['iscrowd'] else truths)[row['image_id']]
        part[0].append([x, y, x + width, y + height])
        part[1].append(row['category_id'] - 1)
    for image, (boxes, labels, scores) in enumerate(data.found):
        found = _instances(boxes, labels)
        found.scores = torch.from_numpy(scores)
        truth, crowd = _instances(*truths[image]), _instances(*crowds[image])
        looks[image] = Look(f'{image}.jpg', truth, crowd, found)
    dataset = SimpleNamespace(ann_file='truth.json')
    model = SimpleNamespace(
        name='model',
        classes=list(CLASSES),
        detector=None,
        dataloader=SimpleNamespace(dataset=dataset),
    )
    chosen = dict(iou_threshold=0.5, score_threshold='best')
    seen = SimpleNamespace(looks=looks, model=model, chosen=chosen)
    works = thresholds, error_types, confusion, calibration
    return [work.conclude([model], [seen])[0] for work in works]


def _instances(boxes: list | np.ndarray, labels: list | np.ndarray) -> InstanceData:
    return InstanceData(
        bboxes=torch.tensor(np.array(boxes, float)).reshape(-1, 4),
        labels=torch.tensor(np.array(labels, int)),
    )
