"""Images or detections with their weights W^D, class and thumbnail (PaQ-DETR Fig. 6).

What a point is, `embedding` says.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...errors import ConfigError
from ..matching import confident_and_correct
from ..one_pass import SeenBatch

THUMBNAIL = 88  # pixels of the longer side


@dataclass(frozen=True)
class Point:
    """An image or a detection.

    Attributes:
        weights: All of W^D, flattened, or one row of it.
        label: Class that covers the largest area, or the object's.
        image: Position of the image in the data set.
        thumbnail: (h, w, 3) RGB, small.
    """

    weights: np.ndarray
    label: int
    image: int
    thumbnail: np.ndarray


def whole_images(batch: SeenBatch) -> Iterator[Point]:
    """Yield a point for each image of a batch that has objects."""
    weights = batch.heard.weights.flatten(1).cpu().numpy()
    for i, sample in enumerate(batch.samples):
        truth = sample.gt_instances
        if len(truth):
            areas = (truth.bboxes[:, 2:] - truth.bboxes[:, :2]).prod(1)
            label = int(torch.bincount(truth.labels, areas).argmax())
            yield Point(weights[i], label, batch.images[i], _shrink(_image(batch, i)))


def detections(
    batch: SeenBatch, score_threshold: float, iou_threshold: float
) -> Iterator[Point]:
    """Yield a point for each query that finds its object, is sure and is right."""
    matched = batch.matched
    good = confident_and_correct(matched, score_threshold, iou_threshold)
    for i, query in good.nonzero().tolist():
        row = batch.heard.weights[i, query].cpu().numpy()
        thumbnail = _shrink(_crop(_image(batch, i), matched.boxes[i, query].tolist()))
        yield Point(row, int(matched.labels[i, query]), batch.images[i], thumbnail)


def _image(batch: SeenBatch, index: int) -> np.ndarray:
    """Return an image as the network sees it: (h, w, 3), RGB."""
    image: Tensor = batch.raw['inputs'][index]
    return image.numpy().transpose(1, 2, 0)[..., ::-1]


def _crop(image: np.ndarray, box: list[float]) -> np.ndarray:
    """Cut out a box (x1, y1, x2, y2; pixels), at least 4 pixels wide and high."""
    height, width = image.shape[:2]
    left = int(min(max(box[0], 0), width - 4))
    top = int(min(max(box[1], 0), height - 4))
    right = int(min(max(np.ceil(box[2]), left + 4), width))
    bottom = int(min(max(np.ceil(box[3]), top + 4), height))
    return image[top:bottom, left:right]


def _shrink(image: np.ndarray) -> np.ndarray:
    scale = THUMBNAIL / max(image.shape[:2])
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)


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
