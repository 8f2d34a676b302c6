"""Which detections are right, as COCO matches them; for all that is asked of them.

`hotcoco` matches, and counts what follows from it (docs/decisions/0008). What lies in a
crowd region, and what exceeds COCO's 100 detections of a class in an image, is neither
right nor wrong. It is taken out first, so that nothing counts it.

Boxes of all images are rows as COCO's own arrays of results have them: image, x, y,
width, height, score, category; a category is a label counted from 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hotcoco import COCO, COCOeval
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from ..detections.looks import DetectionsObserver, Look
from ..trained_detector import TrainedModel, boxes_follow_resize

MAX_DETECTIONS = 100  # of a class in an image
_IMAGE, _BOX, _SCORE, _CATEGORY = 0, slice(1, 5), 5, 6
_EVERY_AREA = [0.0, 1e10]


@dataclass(frozen=True)
class Graded:
    """The detections of a model that count, and which of them are right.

    Attributes:
        scores, labels: Of the detections.
        ious: Of each with its object; NaN of a wrong one, which has none.
        objects: How many there are of each class, by name, in the order of labels.
        evaluation: Of these detections and objects, for more questions.

    Shapes:
        scores, labels, ious: (n,).
    """

    scores: np.ndarray
    labels: np.ndarray
    ious: np.ndarray
    objects: dict[str, int]
    evaluation: COCOeval

    @property
    def right(self) -> np.ndarray:
        """Whether each is matched with an object of its class, (n,) bool."""
        return ~np.isnan(self.ious)


def observe(
    models: Sequence[TrainedModel], **chosen: float | str
) -> list[DetectionsObserver]:
    """Return observers of all images.

    Args:
        chosen: The options of a section.

    Raises:
        ConfigError: A pipeline loads no ground truth.
    """
    for model in models:
        boxes_follow_resize(model.dataloader.dataset)
    return [DetectionsObserver(model, None, chosen) for model in models]


def grade_seen(observer: DetectionsObserver) -> Graded:
    """Return what an observer has seen, graded at the IoU that it was made for."""
    iou_threshold = observer.chosen['iou_threshold']
    return grade(observer.looks, observer.model.classes, iou_threshold)


def grade(
    looks: Mapping[int, Look], classes: Sequence[str], iou_threshold: float
) -> Graded:
    """Match detections with objects.

    Args:
        looks: By image.
        classes: Names, by label.
        iou_threshold: Least IoU of a right detection.
    """
    found = _rows({image: look.found for image, look in looks.items()})
    truth = _rows({image: look.truth for image, look in looks.items()})
    crowds = _rows({image: look.crowds for image, look in looks.items()})
    data = list(looks), classes, iou_threshold
    evaluation = _evaluate(*data, found, truth, crowds)
    # Ids are places, counted from 1; what does not count is not among them.
    counting = evaluation.image_diagnostics(iou_threshold)['dt_status']
    if len(crowds) or len(counting) < len(found):
        found = found[np.sort(np.fromiter(counting, int, len(counting))) - 1]
        evaluation = _evaluate(*data, found, truth, crowds[:0])
    matches = evaluation.image_diagnostics(iou_threshold)['dt_match']
    pairs = np.array([*matches.items()], int).reshape(-1, 2) - 1
    ious = np.full(len(found), np.nan)
    ious[pairs[:, 0]] = _ious(found[pairs[:, 0], _BOX], truth[pairs[:, 1], _BOX])
    labels = [rows[:, _CATEGORY].astype(int) - 1 for rows in (found, truth)]
    counts = np.bincount(labels[1], minlength=len(classes)).tolist()
    objects = dict(zip(classes, counts, strict=True))
    return Graded(found[:, _SCORE], labels[0], ious, objects, evaluation)


def _rows(instances: Mapping[int, InstanceData]) -> np.ndarray:
    """Return boxes of images as rows; objects, which have no scores, with 1."""
    parts = [np.empty((0, 7))]
    for image, part in instances.items():
        corners = part.bboxes.double().numpy()
        rows = np.ones((len(part), 7))
        rows[:, _IMAGE] = image
        rows[:, _BOX] = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        if 'scores' in part:
            rows[:, _SCORE] = part.scores.double().numpy()
        rows[:, _CATEGORY] = part.labels.numpy() + 1
        parts.append(rows)
    return np.concatenate(parts)


def _ious(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the IoU of each box with the other in its place; (n, 4) each, COCO's."""
    corners = [np.hstack([x[:, :2], x[:, :2] + x[:, 2:]]) for x in (one, other)]
    return bbox_overlaps(*map(torch.from_numpy, corners), is_aligned=True).numpy()


def _evaluate(
    images: Sequence[int],
    classes: Sequence[str],
    iou_threshold: float,
    found: np.ndarray,
    truth: np.ndarray,
    crowds: np.ndarray,
) -> COCOeval:
    """Match at one IoU, objects of all sizes."""
    there = np.concatenate([truth, crowds])
    known = COCO.from_arrays(
        [dict(id=int(image)) for image in images],
        [dict(id=category, name=name) for category, name in enumerate(classes, 1)],
        there[:, _IMAGE].astype(int),
        there[:, _CATEGORY].astype(int),
        there[:, _BOX],
        ids=np.arange(len(there)) + 1,
        iscrowd=np.repeat([0, 1], [len(truth), len(crowds)]),
    )
    evaluation = COCOeval(known, known.load_res(found), 'bbox')
    settings = evaluation.params
    settings.iou_thrs = [iou_threshold]
    settings.area_rng, settings.area_rng_lbl = [_EVERY_AREA], ['all']
    settings.max_dets = [MAX_DETECTIONS]
    evaluation.evaluate()
    return evaluation
