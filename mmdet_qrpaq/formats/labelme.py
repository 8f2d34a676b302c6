"""Reads labelme: one JSON file an image with polygons, rectangles, circles, masks."""

import base64
import io
import json
import math
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

from PIL import Image

from .shapes import (
    Broken,
    Record,
    Shape,
    clip,
    four_corners,
    number,
    outline,
    read_text,
)

# Corners as they stand: labelme 6 calls a turned box `oriented_rectangle`,
# X-AnyLabeling `rotation`.
_OUTLINES = ('polygon', 'oriented_rectangle', 'rotation', 'quadrilateral')
_CIRCLE_CORNERS = 64  # a multiple of 4, so that the polygon touches its box


class Labelme:
    """The format `labelme`.

    Shapes with the same label and `group_id` are the parts of one object, as in
    labelme's own export. `imageData` is not looked at.
    """

    suffix = '.json'

    def read(self, path: Path) -> Record:
        """Read one file.

        Raises:
            Broken: It is no JSON or not in this format.
        """
        try:
            content = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise Broken('not JSON', f'is not readable as JSON ({error})') from error
        shapes = content.get('shapes') if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            raise Broken(
                'other format', "is not in the labelme format: no list 'shapes'"
            )
        written = content.get('imagePath')
        if not isinstance(written, str | None):
            raise Broken('other format', "its 'imagePath' is no text")
        size = None
        if content.get('imageWidth') is not None:
            size = tuple(
                number(content.get(key), key) for key in ('imageWidth', 'imageHeight')
            )
        return Record(_image_name(written), size, _entries(shapes))

    def shape(self, entry: list[dict], size: tuple[int, int]) -> Shape:
        """Return one object.

        Raises:
            Broken: A part of it has the wrong form.
        """
        if not all(isinstance(part, dict) for part in entry):
            raise Broken('bad shape', 'it is no JSON object')
        label = entry[0].get('label')
        if not isinstance(label, str) or not label.strip():
            raise Broken('no class name', "it has no 'label'")
        label = label.strip()
        parts = [_part(label, part, size) for part in entry if not _is_mask(part)]
        remarks = tuple(dict.fromkeys(r for part in parts for r in part.remarks))
        if len(parts) < len(entry):
            masks = [_mask(part, size) for part in entry if _is_mask(part)]
            whole = _masked(label, masks, parts, size)
        else:
            whole = outline(label, [p for part in parts for p in part.polygons])
        return replace(whole, remarks=remarks)


def _image_name(written: str | None) -> str | None:
    """Drop folders that lead away: the path is relative to where the file once was."""
    if not written:
        return None
    path = PureWindowsPath(written)
    return path.name if path.anchor or '..' in path.parts else written


def _entries(shapes: list) -> list[tuple[str, list]]:
    """Put the parts of one object together, in the order of their first."""
    objects: dict[Any, dict[int, Any]] = {}
    for index, shape in enumerate(shapes, 1):
        key: Any = index
        if isinstance(shape, dict) and isinstance(shape.get('group_id'), int | str):
            key = (str(shape.get('label')), shape['group_id'])
        objects.setdefault(key, {})[index] = shape
    entries = []
    for numbered in objects.values():
        parts = list(numbered.values())
        label = parts[0].get('label') if isinstance(parts[0], dict) else None
        word = 'shape' if len(parts) == 1 else 'shapes'
        numbers = ', '.join(map(str, numbered))
        entries.append((f'{word} {numbers} ({label or "no label"})', parts))
    return entries


def _is_mask(shape: dict) -> bool:
    return shape.get('shape_type') == 'mask'


def _part(label: str, shape: dict, size: tuple[int, int]) -> Shape:
    """Return one part that is no mask."""
    kind = shape.get('shape_type') or 'polygon'  # labelme before 3.1 wrote none
    points = _points(shape.get('points'))
    corners = _polygon(kind, points)
    if kind != 'polygon' and len(points) == 4:
        return four_corners(label, corners, size)
    return outline(label, [corners])


def _polygon(kind: str, points: list[tuple[float, float]]) -> list[float]:
    """Return an outline as x, y, x, y, ..."""
    # Two opposite corners; some tools that write this format give all four, in any
    # order, and turned.
    if kind == 'rectangle' and len(points) == 2:
        (left, right), (top, bottom) = map(sorted, zip(*points, strict=True))
        return [left, top, right, top, right, bottom, left, bottom]
    is_rectangle = kind == 'rectangle' and len(points) == 4
    if is_rectangle:
        x, y = (sum(values) / 4 for values in zip(*points, strict=True))
        points = sorted(points, key=lambda p: math.atan2(p[1] - y, p[0] - x))
    if is_rectangle or (kind in _OUTLINES and len(points) >= 3):
        return [value for point in points for value in point]
    if kind == 'circle' and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        angles = [2 * math.pi * i / _CIRCLE_CORNERS for i in range(_CIRCLE_CORNERS)]
        return [
            value
            for angle in angles
            for value in (x + radius * math.cos(angle), y + radius * math.sin(angle))
        ]
    raise Broken(
        'bad shape',
        f'a {kind!r} of {len(points)} points is neither a polygon of 3 or more, a '
        'rectangle of 2 or 4, nor a circle of 2',
    )


def _masked(
    label: str, masks: list[Any], parts: list[Shape], size: tuple[int, int]
) -> Shape:
    """Return the object of masks and other parts.

    Raises:
        Broken: A part sticks out of the image.
    """
    from pycocotools import mask as coco_mask  # slow: not for --help

    runs = [coco_mask.encode(mask) for mask in masks]
    for part in parts:
        polygons = clip(part, size)[0].polygons
        runs += coco_mask.frPyObjects(polygons, size[1], size[0])
    mask = coco_mask.merge(runs)
    left, top, width, height = coco_mask.toBbox(mask).tolist()
    mask['counts'] = mask['counts'].decode('ascii')
    return Shape(label, (left, top, left + width, top + height), mask=mask)


def _mask(shape: dict, size: tuple[int, int]) -> Any:
    """Return a mask of the image's size: a PNG, in base64, from its first point on."""
    import numpy as np  # slow: not for --help

    points = _points(shape.get('points'))
    try:
        content = base64.b64decode(shape.get('mask'), validate=True)
        with Image.open(io.BytesIO(content), formats=['PNG']) as image:
            left, top = _corner(points, image.size, size)
            drawn = np.asarray(image.convert('L'), bool)
    except (
        TypeError,
        ValueError,
        OSError,
        SyntaxError,  # Pillow's for a damaged PNG
        Image.DecompressionBombError,
    ) as error:
        raise Broken('bad shape', "its 'mask' is no PNG in base64") from error
    whole = np.zeros(size[::-1], np.uint8, order='F')
    whole[top : top + len(drawn), left : left + len(drawn.T)] = drawn
    return whole


def _corner(
    points: list[tuple[float, float]], mask: tuple[int, int], image: tuple[int, int]
) -> tuple[int, int]:
    """Return where a mask begins: its points are its first and its last pixel.

    Raises:
        Broken: They are not, or the mask sticks out of the image.
    """
    corners = [(int(x), int(y)) for x, y in points]
    # Some tools write the corner behind the last pixel.
    fits = len(corners) == 2 and all(
        side - (last - first) in (0, 1)
        for side, first, last in zip(mask, *corners, strict=True)
    )
    if not fits:
        raise Broken(
            'bad shape',
            f'its mask has {mask[0]} x {mask[1]} pixels, but its points are no two '
            'corners of such a box',
        )
    left, top = corners[0]
    if min(left, top) < 0 or left + mask[0] > image[0] or top + mask[1] > image[1]:
        raise Broken(
            'outside the image',
            f'its mask of {mask[0]} x {mask[1]} pixels at ({left}, {top}) sticks out '
            f'of the image of {image[0]} x {image[1]} pixels',
        )
    return left, top


def _points(points: Any) -> list[tuple[float, float]]:
    pairs = isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 for point in points
    )
    if not pairs:
        raise Broken('bad shape', "its 'points' are no list of pairs [x, y]")
    return [(number(x, 'an x'), number(y, 'a y')) for x, y in points]
