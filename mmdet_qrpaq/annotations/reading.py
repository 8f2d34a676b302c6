"""Reads a COCO file into columns; what is wrong in them is left to the checks.

The types are loose, so that a fault can be told with its annotation and image. Masks
stay in the file until somebody asks for them: they are most of one of COCO's size.
"""

import json
import re
import reprlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw

from ..errors import ConfigError

Columns = dict[str, list]
Rows = np.ndarray  # of bool, one for each entry of a table
_LARGEST = float(np.finfo(np.float32).max)  # boxes become float32 in a training


class _Image(msgspec.Struct, gc=False):
    id: Any = UNSET
    file_name: Any = UNSET
    width: Any = UNSET
    height: Any = UNSET


class _Object(msgspec.Struct, gc=False):
    id: Any = UNSET
    image_id: Any = UNSET
    category_id: Any = UNSET
    bbox: Any = UNSET
    area: Any = UNSET
    iscrowd: Any = UNSET
    ignore: Any = False


class _Category(msgspec.Struct, gc=False):
    id: Any = UNSET
    name: Any = UNSET


class _File(msgspec.Struct, gc=False):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Object] = []
    info: Any = UNSET


class _Mask(msgspec.Struct, gc=False):
    segmentation: Raw = Raw()


class _Masks(msgspec.Struct, gc=False):
    annotations: list[_Mask] = []


@dataclass(frozen=True)
class Annotations:
    """A COCO file, table by table and column by column, as it is written.

    An entry that a column lacks is `msgspec.UNSET`.

    Attributes:
        path: The file.
        images: `id`, `file_name`, `width` and `height`.
        objects: `id`, `image_id`, `category_id`, `bbox`, `area`, `iscrowd`, `ignore`.
        categories: `id` and `name`.
        has_info: Whether it has `info`, which nobody needs but some pycocotools.
        has_mark: Whether a byte order mark comes first, where `json` fails.
        kept: What has been found out about it; see `once`.
    """

    path: str
    images: Columns
    objects: Columns
    categories: Columns
    has_info: bool
    has_mark: bool
    kept: dict = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.objects['id'])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the categories in the file's order; `None` where there is none."""
        names = self.categories['name']
        return tuple(name if _is_name(name) else None for name in names)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Widths and heights of the images in pixels, (images, 2); NaN: none."""
        return np.stack([numbers(self.images[key]) for key in ('width', 'height')], 1)

    @cached_property
    def boxes(self) -> np.ndarray:
        """x, y, width and height in pixels, (objects, 4); NaN where they are none."""
        boxes, none = self.objects['bbox'], [np.nan] * 4
        if not ({*map(type, boxes)} <= {list} and {*map(len, boxes)} <= {4}):
            boxes = [b if type(b) is list and len(b) == 4 else none for b in boxes]
        return numbers(list(chain.from_iterable(boxes))).reshape(-1, 4)

    @cached_property
    def areas(self) -> np.ndarray:
        """Areas in square pixels; NaN where they are none."""
        return numbers(self.objects['area'])

    @cached_property
    def image_rows(self) -> np.ndarray:
        """The row of each object's image; -1: the file has no such image."""
        return _find(self.objects['image_id'], self.images['id'])

    @cached_property
    def category_rows(self) -> np.ndarray:
        """The row of each object's category; -1: the file has no such category."""
        return _find(self.objects['category_id'], self.categories['id'])

    @cached_property
    def crowds(self) -> Rows:
        """Objects that are marked as crowds."""
        return flags(self.objects['iscrowd'])

    def read_segmentations(self) -> list[bytes]:
        """Return the JSON text of each object's mask, empty where there is none."""
        content = read_json(self.path, _Masks)
        return [entry.segmentation for entry in content.annotations]

    def image(self, row: int) -> str:
        """Return how a message calls an image."""
        name = self.images['file_name'][row]
        return f'image {name}' if type(name) is str else f'image number {row + 1}'

    def object(self, row: int) -> str:
        """Return how a message calls an object: annotation id and image."""
        number, image = self.objects['id'][row], self.image_rows[row]
        name = f'annotation number {row + 1}'
        if not is_missing(number):
            name = f'annotation {shown(number)}'
        return name if image < 0 else f'{name} in {self.image(image)}'


def read_annotations(path: str) -> Annotations:
    """Read a COCO file.

    Raises:
        ConfigError: If it is no JSON in UTF-8 or not in the COCO format.
    """
    content = read_json(path, _File)
    with open(path, 'rb') as file:
        has_mark = file.read(len(BOM_UTF8)) == BOM_UTF8
    return Annotations(
        path,
        _columns(_Image, content.images),
        _columns(_Object, content.annotations),
        _columns(_Category, content.categories),
        has_info=content.info is not UNSET,
        has_mark=has_mark,
    )


def read_json(path: str, kind: Any) -> Any:
    """Read a file as a type of msgspec's.

    Python writes NaN and Infinity into its JSON; here they become text, which is no
    number either, but can be read.

    Raises:
        ConfigError: If it is no JSON in UTF-8 or not of that type.
    """
    try:
        content = Path(path).read_bytes().removeprefix(BOM_UTF8)
        if not content.isascii():
            content.decode()  # msgspec does not look into what it skips
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            document = json.loads(content.decode(), parse_constant=str)
            content = msgspec.json.encode(document)
            return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f'annotation file {path} is not in the COCO format ({error}); it needs '
            'the lists images (id, file_name), annotations (category_id, ...) and '
            'categories (id, name).'
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f'annotation file {path} is not in UTF-8 ({error}); save it again in that '
            'encoding.'
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f'annotation file {path} is not readable as JSON ({error}); export it '
            'again in the COCO format.'
        ) from error
    except OSError as error:
        raise ConfigError(
            f'annotation file {path} cannot be read ({error.strerror}); make it '
            'readable, or name another.'
        ) from error


def is_missing(value: Any) -> bool:
    """Tell whether there is nothing; some tools write null for it."""
    return value is UNSET or value is None


def missing(values: list) -> Rows:
    """Return where a column has nothing."""
    if not {*map(type, values)} & {type(UNSET), type(None)}:
        return np.zeros(len(values), bool)
    return np.fromiter(map(is_missing, values), bool, len(values))


def numbers(values: list) -> np.ndarray:
    """Return a column as float64, NaN where there is no finite number."""
    if {*map(type, values)} <= {float}:
        column = np.fromiter(values, np.float64, len(values))
    else:
        column = np.fromiter(map(_number, values), np.float64, len(values))
    column[np.isinf(column)] = np.nan
    return column


def flags(values: list) -> Rows:
    """Return where a column is true, as Python sees it."""
    return np.fromiter(
        (value is not UNSET and bool(value) for value in values), bool, len(values)
    )


def rows_of(condition: Rows) -> list[int]:
    """Return the rows where something holds."""
    return np.flatnonzero(condition).tolist()


def others(entries: Sized) -> str:
    """Return what is added to a message about the first of several."""
    return f' (as in {len(entries) - 1} more)' if len(entries) > 1 else ''


def shown(value: Any) -> str:
    """Return a value for a message, shortened; NaN was read as text."""
    return re.sub(r"'(NaN|-?Infinity)'", r'\1', reprlib.repr(value))


def _number(value: Any) -> float:
    is_number = type(value) in (int, float) and abs(value) <= _LARGEST
    return float(value) if is_number else np.nan


def _columns(kind: type[msgspec.Struct], entries: list) -> Columns:
    fields = kind.__struct_fields__
    return {key: [getattr(entry, key) for entry in entries] for key in fields}


def _find(keys: Sequence, ids: Iterable) -> np.ndarray:
    """Return the place of each key among ids; like upstream, 1 is 1.0 and no '1'."""
    rows = {key: row for row, key in enumerate(ids) if _is_name(key)}
    found = (rows.get(key, -1) if _is_name(key) else -1 for key in keys)
    if {*map(type, keys)} <= {int, str}:
        found = map(rows.get, keys, repeat(-1))
    return np.fromiter(found, np.int64, len(keys))


def _is_name(value: Any) -> bool:
    return type(value) in (int, float, str, bool)
