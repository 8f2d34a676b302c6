"""What a data set is like, as far as a config depends on it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from ..formats.folder import DataFolder


@dataclass(frozen=True)
class Facts:
    """Numbers of a data set; sizes in pixels, as the annotation files give them.

    Attributes:
        num_images: Images to train on.
        image_size: Median width and height of them, `None` if no file tells.
        image_sizes: All widths and heights that occur, in any split.
        most_objects: The largest number of objects in an image, in any split.
        crowded: Name of that image.
        object_size: Median of the square root of a box's area, `None` without objects.
    """

    num_images: int
    image_size: tuple[int, int] | None
    image_sizes: frozenset[tuple[int, int]]
    most_objects: int
    crowded: str
    object_size: float | None


class _Image(msgspec.Struct):
    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class _Object(msgspec.Struct):
    image_id: Any = None
    bbox: Any = None
    iscrowd: Any = 0


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Object] = []


def look_at(data: DataFolder) -> Facts:
    """Count and measure; whatever is wrong with the files is told by other checks."""
    read = {name: _read(split.ann_file) for name, split in data.splits.items()}
    images = read['train'].images
    sizes = _sizes(read['train'])
    boxes = [entry.bbox for entry in read['train'].annotations if _is_box(entry.bbox)]
    most, crowded = max(map(_most_objects, read.values()))
    return Facts(
        num_images=len(images),
        image_size=tuple(round(median(side)) for side in zip(*sizes, strict=True))
        or None,
        image_sizes=frozenset().union(*map(_sizes, read.values())),
        most_objects=most,
        crowded=crowded,
        object_size=median((b[2] * b[3]) ** 0.5 for b in boxes) if boxes else None,
    )


def _read(path: Path) -> _File:
    return msgspec.json.decode(path.read_bytes(), type=_File)


def _sizes(file: _File) -> list[tuple[int, int]]:
    return [(i.width, i.height) for i in file.images if _is_size(i.width, i.height)]


def _most_objects(file: _File) -> tuple[int, str]:
    objects = [entry for entry in file.annotations if not entry.iscrowd]
    (image, most), *_ = Counter(entry.image_id for entry in objects).most_common(1) or [
        (None, 0)
    ]
    names = {entry.id: entry.file_name for entry in file.images}
    return most, str(names.get(image, ''))


def _is_size(*sides: Any) -> bool:
    return all(isinstance(side, int | float) and side > 0 for side in sides)


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and _is_size(*box[2:])
