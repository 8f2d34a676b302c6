"""What a segmentation holds: whether upstream can make a mask of it, and its area."""

import math
from collections import defaultdict
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..finding import Finding, Severity
from .reading import Annotations, others, rows_of
from .use import Use, once, other_classes, reasons

_CORNERS = 3  # of a polygon
_FAR = 10  # times width and height of an image
_DIGITS = 7  # of five bits; more than any image needs


def broken_masks(found: Annotations, use: Use) -> list[Finding]:
    """Find objects whose mask is needed and cannot be made.

    Objects that upstream leaves out need none; crowds do.
    """
    if not use.masks:
        return []
    return [
        Finding(
            Severity.ERROR,
            'mask',
            f'{found.path}, {found.object(rows[0])}',
            f'its segmentation {fault}{others(rows)}, and {use.key} needs masks',
            'write polygons or RLE of the whole image, or do without masks (no '
            'model.mask_branch, with_mask=False, no segm in the metric)',
            len(rows),
        )
        for fault, rows in look(found, use).wrong.items()
    ]


class Looked(NamedTuple):
    """What the masks that are made are like.

    Attributes:
        wrong: Rows of objects by what is wrong with their masks.
        parts: Of masks with useless polygons, the others, by row.
    """

    wrong: dict[str, list[int]]
    parts: dict[int, list[list[float]]]


@once
def look(found: Annotations, use: Use) -> Looked:
    """Look at the masks of all objects that upstream does not leave out."""
    left_out = other_classes(found, use)
    for kind, rows in reasons(found, use).items():
        if kind != 'crowd':
            left_out = left_out | rows
    decoder = msgspec.json.Decoder()
    texts = found.read_segmentations()
    wrong, parts = defaultdict(list), {}
    for row in rows_of(~left_out):
        segmentation = decode(texts[row], decoder)
        if fault := fault_of(segmentation, found.sizes[found.image_rows[row]]):
            wrong[fault].append(row)
        elif isinstance(segmentation, list):
            sound = sound_parts(segmentation)
            if len(sound) < len(segmentation):
                parts[row] = sound
    return Looked(wrong, parts)


def decode(text: bytes, decoder: msgspec.json.Decoder) -> Any:
    """Return a segmentation as Python has it; `None` if there is none."""
    return decoder.decode(text) if bytes(text) else None


def fault_of(segmentation: Any, size: np.ndarray) -> str | None:
    """Say what is wrong with a segmentation, `None` if a mask can be made of it.

    Polygons of fewer than three corners are no fault beside a sound one; see
    `sound_parts`.

    Args:
        size: Width and height of the image in pixels; NaN: not known.
    """
    if not segmentation:
        return 'is missing or empty'
    if isinstance(segmentation, list):
        return _fault_of_polygons(segmentation, size)
    if not isinstance(segmentation, dict):
        return 'is neither polygons nor RLE'
    written, counts = segmentation.get('size'), segmentation.get('counts')
    if not isinstance(counts, str | list) or not counts:
        return 'is RLE without counts'
    known = not np.isnan(size).any()
    if not isinstance(written, list) or (known and written != size[::-1].tolist()):
        return f'is RLE of {written} and not of the height and width of its image'
    runs = counts_of(counts) if isinstance(counts, str) else counts
    if not (
        all(type(count) is int and count >= 0 for count in runs)
        and sum(runs) == math.prod(written)
    ):
        return 'is RLE whose counts are not those of its image'
    return None


def counts_of(text: str) -> list[int]:
    """Return the lengths of the runs in compressed RLE; none if it is no such text.

    pycocotools does not look at them: with too few it shows memory that was never
    written. Each is written in digits of five bits from the lowest one, in characters
    from '0' on, with a sixth bit where more follow; the fifth of the last one is the
    sign. From the fourth run on it is the difference from the one before the last.
    """
    digits = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - ord('0')
    if ((digits < 0) | (digits > 63)).any() or digits[-1] & 32:
        return []
    last = np.flatnonzero(digits & 32 == 0)
    first = np.append(0, last[:-1] + 1)
    lengths = last - first + 1
    if lengths.max() > _DIGITS:
        return []
    shifts = 5 * (np.arange(len(digits)) - np.repeat(first, lengths))
    runs = np.add.reduceat((digits & 31) << shifts, first)
    runs -= (digits[last] & 16) // 16 << 5 * lengths
    for start in (1, 2):
        runs[start::2] = runs[start::2].cumsum()
    return runs.tolist()


def sound_parts(polygons: list[list[float]]) -> list[list[float]]:
    """Return the polygons that enclose something, as mmdet's `LoadAnnotations` does.

    pycocotools takes four numbers that come first for a box, and then fails.
    """
    return [part for part in polygons if len(part) >= 2 * _CORNERS]


def area_of(segmentation: Any, size: np.ndarray) -> float:
    """Return the area of a sound segmentation in square pixels, as COCO has it."""
    from pycocotools import mask as coco_mask

    width, height = map(int, size)
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(
            coco_mask.frPyObjects(sound_parts(segmentation), height, width)
        )
    elif isinstance(segmentation['counts'], list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    return float(coco_mask.area(segmentation))


def _fault_of_polygons(polygons: list, size: np.ndarray) -> str | None:
    # pycocotools walks along each edge, wherever it leads; NaN limits nothing.
    limit = _FAR * sum(size.tolist())
    if not all(isinstance(part, list) for part in polygons):
        return 'is a list of numbers where a list of polygons is needed'
    for part in polygons:
        if not {*map(type, part)} <= {int, float}:
            return 'holds something that is no number'
        if part and max(max(part), -min(part)) > limit:
            return 'has a corner far outside of its image'
        if len(part) % 2:
            return 'has a polygon with an odd number of values'
    if not sound_parts(polygons):
        return f'has no polygon of {_CORNERS} corners or more'
    return None
