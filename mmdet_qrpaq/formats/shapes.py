"""What the readers of all formats hand to `document.py`, and what may be wrong in it.

Pixels are COCO's: x to the right, y down, 0 at the outer edge of the first pixel, so
that an image spans 0 to its width and its height.
"""

import json
import math
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

TINY_OVERSHOOT = 1.0  # pixels; a 0-based box read as 1-based sticks out by this
_ROUNDING = 0.01  # pixels; what six decimals of a share lose in any usual image


class Broken(Exception):
    """Something in an annotation file or an image that cannot be converted.

    Args:
        reason: What to count it under, e.g. `'unknown class'`.
        text: What is wrong, without the file's name.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Record:
    """One annotation file.

    Attributes:
        image: The image's name as written; `None`: named like the file itself.
        size: Width and height of the image as written, `None` if they are not.
        entries: Place in the file (`'line 3'`) and what stands there, per object.
    """

    image: str | None
    size: tuple[float, float] | None
    entries: list[tuple[str, Any]]


@dataclass(frozen=True)
class Shape:
    """One object.

    Attributes:
        polygons: x, y, x, y, ... of each part; empty where there is only a box.
        mask: Run lengths of the image's size, as COCO has them, in place of polygons.
        remarks: What to tell of it, e.g. that a part of it was left out.
    """

    label: str
    box: Box
    polygons: list[list[float]] = field(default_factory=list)
    mask: dict | None = None
    remarks: tuple[str, ...] = ()


def outline(label: str, polygons: list[list[float]]) -> Shape:
    """Return the object whose parts have these outlines."""
    xs = [x for polygon in polygons for x in polygon[0::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return Shape(label, (min(xs), min(ys), max(xs), max(ys)), polygons)


def four_corners(label: str, corners: list[float], size: tuple[int, int]) -> Shape:
    """Return an object with four corners: often a turned box that leaves the image.

    What sticks out by more than a pixel is cut off.

    Args:
        corners: x, y, x, y, ... in pixels.
        size: Width and height of the image in pixels.

    Raises:
        Broken: All of it is outside.
    """
    whole = outline(label, [corners])
    if _overshoot(whole.box, size) <= TINY_OVERSHOOT:
        return whole
    points = _within(list(zip(corners[0::2], corners[1::2], strict=True)), size)
    if not points:
        raise Broken('outside the image', f'the box {_describe(whole.box)} is outside')
    part = outline(label, [[value for point in points for value in point]])
    return replace(
        part, remarks=('shapes of four corners cut off at the border of the image',)
    )


def number(value: object, name: str) -> float:
    """Return a finite number.

    Raises:
        Broken: It is missing or something else.
    """
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        found = 'is missing' if value is None else f'is {reprlib.repr(value)}'
        raise Broken('bad number', f'{name} {found}, where a number is needed')
    return result


def clip(shape: Shape, size: tuple[int, int]) -> tuple[Shape, bool]:
    """Cut off what sticks out of the image by up to a pixel.

    Args:
        size: Width and height of the image in pixels.

    Returns:
        The shape within the image, and whether more than rounding was cut off.

    Raises:
        Broken: It sticks out further, or has no width or height in the image.
    """
    width, height = size
    overshoot = _overshoot(shape.box, size)
    if overshoot > TINY_OVERSHOOT + _ROUNDING:
        raise Broken(
            'outside the image',
            f'the box {_describe(shape.box)} sticks out of the image of '
            f'{width} x {height} pixels',
        )

    def inside(values: Iterable[float]) -> list[float]:
        limits = (width, height)
        return [min(max(v, 0.0), float(limits[i % 2])) for i, v in enumerate(values)]

    box = tuple(inside(shape.box))
    if not (box[2] > box[0] and box[3] > box[1]):
        raise Broken(
            'no width or height',
            f'the box {_describe(box)} has no positive width and height',
        )
    polygons = [inside(polygon) for polygon in shape.polygons]
    return replace(shape, box=box, polygons=polygons), overshoot > _ROUNDING


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        Broken: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Broken('unreadable file', f'cannot be read ({error.strerror})') from error


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        Broken: It cannot be read.
    """
    try:
        return read_bytes(path).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise Broken('unreadable file', 'is not text in UTF-8') from error


def decode_json(content: bytes, kind: type) -> Any:
    """Decode JSON, also with the NaN that Python writes.

    Raises:
        msgspec.ValidationError: It is JSON of another kind.
        ValueError: It is no JSON.
        RecursionError: It is nested too deep.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(content), kind)


def _overshoot(box: Box, size: tuple[int, int]) -> float:
    left, top, right, bottom = box
    return max(-left, -top, right - size[0], bottom - size[1])


def _within(
    points: list[tuple[float, float]], size: tuple[int, int]
) -> list[tuple[float, float]]:
    """Return the part of a polygon within the image (Sutherland and Hodgman, 1974)."""
    for axis, sign, limit in ((0, 1, 0), (1, 1, 0), (0, -1, size[0]), (1, -1, size[1])):
        kept = []
        for before, point in zip([*points[-1:], *points[:-1]], points, strict=True):
            depths = [sign * (p[axis] - limit) for p in (before, point)]
            if min(depths) < 0 <= max(depths):
                share = depths[0] / (depths[0] - depths[1])
                pairs = zip(before, point, strict=True)
                kept.append(tuple(a + share * (b - a) for a, b in pairs))
            if depths[1] >= 0:
                kept.append(point)
        points = kept
    return points


def _describe(box: Box) -> str:
    left, top, right, bottom = (f'{value:.6g}' for value in box)
    return f'from ({left}, {top}) to ({right}, {bottom})'
