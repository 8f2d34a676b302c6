"""Pictures or detections with their weights W^D, class and thumbnail (PaQ Fig. 6).

Feeds :mod:`.pattern_embedding`, which says what a point is.
"""

import json
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...errors import ConfigError
from ..matching import MatchedBatch, match
from ..queries.usage import confident_and_correct
from ..trained_detector import boxes_follow_resize
from .capture import captured_weights

POINTS = ('pictures', 'detections')
THUMBNAIL = 88  # pixels of the longer side


@dataclass(frozen=True)
class Point:
    """A picture or a detection.

    Attributes:
        weights: All of W^D, flattened, or one row of it.
        label: Class that covers the largest area, or the object's.
        image: Index of the picture in the data set.
        thumbnail: (h, w, 3) RGB, small.
    """

    weights: np.ndarray
    label: int
    image: int
    thumbnail: np.ndarray


@torch.no_grad()
def collect_points(
    detector: nn.Module,
    dataset: Dataset,
    points: str,
    num_pictures: int,
    score_threshold: float,
    iou_threshold: float,
) -> list[Point]:
    """Run a detector over pictures spread evenly over a data set.

    Args:
        detector: In eval mode; for detections built with its `train_cfg`.
        points: ``'pictures'`` or ``'detections'``.
        num_pictures: At most as many as there are.

    Raises:
        ConfigError: The model has no patterns, or for detections no assigner.
    """
    head = detector.bbox_head
    if points == 'detections' and not hasattr(head, 'assigner'):
        raise ConfigError(
            f'{type(detector).__name__} has no assigner to tell which detections are '
            'right; keep train_cfg in the model config.'
        )
    resized = boxes_follow_resize(dataset)
    chosen = np.linspace(0, max(0, len(dataset) - 1), num_pictures).round().astype(int)
    found = []
    with captured_weights(detector) as captured:
        for index in map(int, track(chosen, 'collecting weights')):
            raw = pseudo_collate([dataset[index]])
            picture = raw['inputs'][0].numpy().transpose(1, 2, 0)[..., ::-1]
            batch = detector.data_preprocessor(raw, False)
            samples = batch['data_samples']
            features = detector.extract_feat(batch['inputs'])
            inputs = detector.forward_transformer(features, samples)
            weights = captured.pop()[0]
            if points == 'pictures':
                truth = samples[0].gt_instances
                found += _whole_picture(picture, index, weights, truth)
                continue
            outputs = head(**inputs)
            batch = match(head, outputs[0][-1], outputs[1][-1], samples, resized)
            good = confident_and_correct(batch, score_threshold, iou_threshold)[0]
            found += _detections(picture, index, weights, batch, good)
    return found


def _whole_picture(
    picture: np.ndarray, index: int, weights: Tensor, truth: InstanceData
) -> list[Point]:
    """Return one point, or none of a picture without objects."""
    if not len(truth):
        return []
    sides = truth.bboxes[:, 2:] - truth.bboxes[:, :2]
    area = torch.bincount(truth.labels, sides.prod(1))
    flat = weights.flatten().cpu().numpy()
    return [Point(flat, int(area.argmax()), index, _shrink(picture))]


def _detections(
    picture: np.ndarray, index: int, weights: Tensor, batch: MatchedBatch, good: Tensor
) -> list[Point]:
    return [
        Point(row, label, index, _shrink(_crop(picture, box)))
        for row, label, box in zip(
            weights[good].cpu().numpy(),
            batch.labels[0, good].tolist(),
            batch.boxes[0, good].tolist(),
            strict=True,
        )
    ]


def _crop(picture: np.ndarray, box: list[float]) -> np.ndarray:
    """Cut out a box (x1, y1, x2, y2; pixels), at least 4 pixels wide and high."""
    height, width = picture.shape[:2]
    left = int(min(max(box[0], 0), width - 4))
    top = int(min(max(box[1], 0), height - 4))
    right = int(min(max(np.ceil(box[2]), left + 4), width))
    bottom = int(min(max(np.ceil(box[3]), top + 4), height))
    return picture[top:bottom, left:right]


def _shrink(picture: np.ndarray) -> np.ndarray:
    scale = THUMBNAIL / max(picture.shape[:2])
    size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)


def supercategories(dataset: Dataset) -> dict[str, str]:
    """Return the super-class of each class, from a COCO-format annotation file.

    Raises:
        ConfigError: The file has none.
    """
    path = getattr(dataset, 'ann_file', None)
    categories = []
    if path and str(path).endswith('.json'):
        with open(path, encoding='utf-8') as file:
            categories = json.load(file).get('categories', [])
    found = {entry['name']: entry.get('supercategory') for entry in categories}
    if lacking := [n for n in dataset.metainfo['classes'] if not found.get(n)]:
        raise ConfigError(
            f'{path or "this data set"} gives class {lacking[0]!r} no supercategory; '
            'group by class.'
        )
    return found
