"""What can be mended in a copy, because only one value can be meant."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ..finding import Finding, Severity
from .classes import order_of
from .images import fill_sizes, sizeless
from .masks import area_of, decode, fault_of, look
from .reading import Annotations, missing, rows_of
from .use import Use

# The lists of a COCO file, their entries by key, and what else it holds.
Document = dict[str, Any]
_NEED_INFO = ('2.0.9', '2.0.10')  # of pycocotools


@dataclass(frozen=True)
class Mend:
    """One fault, and what takes it out of a copy.

    Attributes:
        kind: A short name that stays the same.
        fault: What is wrong with the file.
        change: What the copy is like instead, in a clause.
        apply: Changes the content of the copy in place.
    """

    kind: str
    fault: str
    change: str
    apply: Callable[[Document], None]

    def finding(self, path: str) -> Finding:
        """Return it as what a check has found."""
        remedy = f'a run reads a copy, where {self.change}'
        return Finding(Severity.NOTE, f'mended-{self.kind}', path, self.fault, remedy)


def find_mends(found: Annotations, use: Use) -> list[Mend]:
    """Return what has to be mended for a use of the file."""
    fill_sizes(found, use)
    mends = (mend(found, use) for mend in _MENDS)
    return [mend for mend in mends if mend is not None]


def _object_ids(found: Annotations, use: Use) -> Mend | None:
    ids = found.objects['id']
    kinds = {*map(type, ids)}
    if (gone := missing(ids)).any():
        fault = f'{int(gone.sum())} annotations have no id'
    elif not kinds <= {int, str}:
        fault = 'annotation ids are no whole numbers'
    elif len({*ids}) < len(ids):
        fault = f'annotation ids repeat, the first is {_first_repeated(ids)!r}'
    elif use.judged and str in kinds:
        fault = 'annotation ids are text'
    elif use.judged and 0 in ids:
        fault = 'an annotation has id 0, which pycocotools counts as never found'
    else:
        return None

    def apply(document: Document) -> None:
        for number, entry in enumerate(document['annotations'], 1):
            entry['id'] = number

    return Mend('ids', fault, 'they are numbered from 1', apply)


def _areas(found: Annotations, use: Use) -> Mend | None:
    rows = rows_of(missing(found.objects['area']))
    if not rows:
        return None
    decoder = msgspec.json.Decoder()

    def area(row: int, text: bytes) -> float:
        size = found.sizes[found.image_rows[row]]
        segmentation = decode(text, decoder)
        box = float(found.boxes[row, 2:].prod())
        if np.isnan(size).any() or fault_of(segmentation, size):
            return box
        # A scratch thinner than a pixel may have no mask, but is an object.
        return area_of(segmentation, size) or box

    def apply(document: Document) -> None:
        for row in rows:
            entry = document['annotations'][row]
            entry['area'] = area(row, entry.get('segmentation', b''))

    return Mend(
        'area',
        f'{len(rows)} annotations have no area',
        'it is that of the mask, or else of the box',
        apply,
    )


def _crowds(found: Annotations, use: Use) -> Mend | None:
    rows = rows_of(missing(found.objects['iscrowd'])) if use.judged else []
    if not rows:
        return None

    def apply(document: Document) -> None:
        for row in rows:
            document['annotations'][row]['iscrowd'] = 0

    return Mend('iscrowd', f'{len(rows)} annotations have no iscrowd', 'it is 0', apply)


def _sizes(found: Annotations, use: Use) -> Mend | None:
    rows = rows_of(sizeless(found) & ~np.isnan(found.sizes).any(1))
    if not rows:
        return None

    def apply(document: Document) -> None:
        for row in rows:
            width, height = map(int, found.sizes[row])
            document['images'][row] |= dict(width=width, height=height)

    return Mend(
        'size',
        f'{len(rows)} images have no width or height',
        'they are those of the image itself',
        apply,
    )


def _order(found: Annotations, use: Use) -> Mend | None:
    order = order_of(found, use)
    if order is None:
        return None

    def apply(document: Document) -> None:
        categories = document['categories']
        document['categories'] = [categories[row] for row in order]

    return Mend(
        'order',
        'its categories are in another order than the classes',
        'they are in the same order',
        apply,
    )


def _polygons(found: Annotations, use: Use) -> Mend | None:
    sound = look(found, use).parts if use.masks else {}
    if not sound:
        return None

    def apply(document: Document) -> None:
        for row, parts in sound.items():
            document['annotations'][row]['segmentation'] = parts

    return Mend(
        'polygons',
        f'{len(sound)} masks have polygons of fewer than three corners',
        'these polygons are left out',
        apply,
    )


def _info(found: Annotations, use: Use) -> Mend | None:
    needs_it = importlib.metadata.version('pycocotools') in _NEED_INFO
    if found.has_info or not use.judged or not needs_it:
        return None

    def apply(document: Document) -> None:
        document.setdefault('info', {})
        document.setdefault('licenses', [])

    return Mend(
        'info',
        'it has no info, without which this pycocotools ends in a KeyError',
        'it is empty',
        apply,
    )


def _mark(found: Annotations, use: Use) -> Mend | None:
    if not found.has_mark:
        return None
    return Mend(
        'mark',
        'it begins with a byte order mark, which the reader of the run does not take',
        'there is none',
        lambda document: None,  # no copy has one
    )


_MENDS = (_object_ids, _areas, _crowds, _sizes, _order, _polygons, _info, _mark)


def _first_repeated(ids: list) -> Any:
    seen = set()
    return next(key for key in ids if key in seen or seen.add(key))
