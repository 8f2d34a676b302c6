"""What a run does with an annotation file, which decides what can be wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

import numpy as np

from .reading import Annotations, Rows

T = TypeVar('T')
_AREAS = (0, 1e10)  # square pixels; pycocotools looks for none below or above


@dataclass(frozen=True)
class Use:
    """What a run does with an annotation file.

    Attributes:
        key: Place in the config of the data set or the evaluator that names it.
        classes: Names of the labels, in order.
        folder: Where its images are; `None`: on no disk of this machine.
        learned: A training learns from its objects.
        judged: Detections are compared with them by pycocotools.
        masks: With their masks, too.
        min_size: Images with a side below this are left out, in pixels.
        only_annotated: So are images without any object of the classes.
        queries: Of the model, if they are known.
        headers: How many image files are opened, evenly spread.
        partly: Only some of its images are used, by `indices`.
    """

    key: str
    classes: tuple[str, ...]
    folder: str | None = None
    learned: bool = False
    judged: bool = False
    masks: bool = False
    min_size: float = 0
    only_annotated: bool = False
    queries: int | None = None
    headers: int = 200
    partly: bool = False


def once(function: Callable[[Annotations, Use], T]) -> Callable[[Annotations, Use], T]:
    """Let a function look at a file once for each use; the file keeps what it found."""

    @wraps(function)
    def call(found: Annotations, use: Use) -> T:
        key = (function, use)
        if key not in found.kept:
            found.kept[key] = function(found, use)
        return found.kept[key]

    return call


@once
def reasons(found: Annotations, use: Use) -> dict[str, Rows]:
    """Return which objects are left out, by reason.

    In a training they are those that mmdet's `CocoDataset` leaves out, and crowds,
    which it keeps and does not learn from. For a judgement they are those that
    pycocotools does not look for, and those that no detection can be like.
    """
    images, crowd = found.image_rows, found.crowds
    left_out = {
        'image': images < 0,
        'category': found.category_rows < 0,
        'crowd': crowd,
    }
    x, y, width, height = found.boxes.T
    # A size that nobody knows leaves nothing out.
    sizes = np.append(found.sizes, [[np.nan, np.nan]], 0)[images].T
    inside = [
        np.fmin(start + extent, size) - np.maximum(start, 0)
        for start, extent, size in ((x, width, sizes[0]), (y, height, sizes[1]))
    ]
    left_out |= {
        'box': (width < 1) | (height < 1),
        'outside': (inside[0] <= 0) | (inside[1] <= 0),
    }
    if use.judged:
        least, most = _AREAS
        return left_out | {'range': (found.areas < least) | (found.areas > most)}
    return left_out | {
        'ignore': np.fromiter(map(bool, found.objects['ignore']), bool, len(found)),
        'area': found.areas <= 0,
        'image size': sizes.min(0) < use.min_size,
    }


def other_classes(found: Annotations, use: Use) -> Rows:
    """Return which objects are of a category that the run was not asked to know."""
    meant = np.array([name in use.classes for name in found.names] + [True])
    return ~meant[found.category_rows]


@once
def usable(found: Annotations, use: Use) -> Rows:
    """Return which objects a training learns from, or a judgement looks for."""
    left_out = other_classes(found, use)
    for rows in reasons(found, use).values():
        left_out = left_out | rows
    return ~left_out
