"""Random ground truth and detections with all that makes matching hard.

Crowds, images without objects, classes without objects, equal scores, boxes on a grid
(so that IoUs are equal, or lie exactly on a threshold), more than 100 detections of a
class in an image. Boxes are (x1, y1, x2, y2).
"""

import contextlib
import io

import numpy as np
import torch
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_qrpaq.analysis.detections.looks import Look


def instances(boxes, labels, scores=None):
    found = InstanceData(
        bboxes=torch.tensor(np.array(boxes, float)).reshape(-1, 4),
        labels=torch.tensor(list(labels), dtype=torch.long),
    )
    if scores is not None:
        found.scores = torch.tensor(list(scores), dtype=torch.double)
    return found


def random_looks(seed: int, num_classes: int = 4) -> dict[int, Look]:
    rng = np.random.default_rng(seed)
    coarse, used = rng.random() < 0.5, int(rng.integers(1, num_classes + 1))

    def box():
        side = np.exp(rng.uniform(np.log(4), np.log(200), 2))
        corner = rng.uniform(0, 400, 2)
        drawn = np.concatenate([corner, corner + side])
        return _on_grid(drawn) if coarse else drawn

    looks = {}
    for image in range(int(rng.integers(1, 6))):
        number = 0 if rng.random() < 0.2 else int(rng.integers(1, 9))
        objects = [(box(), int(rng.integers(used))) for _ in range(number)]
        crowd = rng.random(number) < 0.15
        found = []
        for around, label in objects:
            for _ in range(int(rng.integers(0, 4))):
                size = 0.15 * rng.random() * (around[2:] - around[:2]).min()
                moved = around + rng.normal(0, size, 4)
                moved[2:] = np.maximum(moved[2:], moved[:2] + 1)
                other = rng.random() < 0.2
                found.append(
                    (
                        _on_grid(moved) if coarse else moved,
                        int(rng.integers(num_classes)) if other else label,
                    )
                )
        many = 130 if rng.random() < 0.15 else int(rng.integers(0, 6))
        only = int(rng.integers(num_classes))
        found += [
            (box(), only if many > 100 else int(rng.integers(num_classes)))
            for _ in range(many)
        ]
        rng.shuffle(found)
        scores = rng.random(len(found))
        tied = rng.random(len(found)) < 0.5
        scores[tied] = scores[tied].round(1)
        looks[image] = Look(
            f'{image}.png',
            *(
                instances(*zip(*part, strict=True)) if part else instances([], [])
                for part in (
                    [o for o, c in zip(objects, crowd, strict=True) if not c],
                    [o for o, c in zip(objects, crowd, strict=True) if c],
                )
            ),
            instances([b for b, _ in found], [n for _, n in found], scores),
        )
    return looks


def _on_grid(box):
    box = (box / 8).round() * 8
    box[2:] = np.maximum(box[2:], box[:2] + 8)
    return box


def evaluated(looks, num_classes, iou_threshold, use_classes=True, crowds=True):
    """Return pycocotools' evaluator; ids count from 1, objects before crowds."""
    truth, found = [], []

    def rows(part, image):
        for box, label in zip(part.bboxes.tolist(), part.labels.tolist(), strict=True):
            x1, y1, x2, y2 = box
            sides = [x1, y1, x2 - x1, y2 - y1]
            area = sides[2] * sides[3]
            yield dict(image_id=image, category_id=label + 1, bbox=sides, area=area)

    for crowd in range(1 + crowds):
        for image, look in looks.items():
            for row in rows(look.crowds if crowd else look.truth, image):
                truth.append(dict(row, iscrowd=crowd, id=len(truth) + 1))
    for image, look in looks.items():
        scores = look.found.scores.tolist()
        for row, score in zip(rows(look.found, image), scores, strict=True):
            found.append(dict(row, score=score, id=len(found) + 1))
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = dict(
            images=[dict(id=image) for image in looks],
            categories=[dict(id=n + 1, name=str(n)) for n in range(num_classes)],
            annotations=truth,
        )
        known.createIndex()
        results = COCO()  # as `loadRes`, which fails on an empty list
        results.dataset = dict(known.dataset, annotations=found)
        results.createIndex()
        evaluator = COCOeval(known, results, 'bbox')
        settings = evaluator.params
        settings.useCats = int(use_classes)
        settings.areaRng, settings.areaRngLbl = [[0, 1e10]], ['all']
        settings.maxDets, settings.iouThrs = [100], np.array([iou_threshold])
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def matched(evaluator) -> tuple[list[int], dict[int, int]]:
    """Return ids of the detections that count, and the object of each right one."""
    counting, objects = [], {}
    for image in filter(None, evaluator.evalImgs):
        rows = image['dtIds'], image['dtMatches'][0], image['dtIgnore'][0]
        for name, match, ignored in zip(*rows, strict=True):
            if not ignored:
                counting.append(int(name))
                if match:
                    objects[int(name)] = int(match)
    return counting, objects
