"""What every reader of a COCO file takes for granted: keys, numbers and ids."""

from collections.abc import Callable

import numpy as np

from ..finding import Finding, Severity
from .reading import (
    Annotations,
    Columns,
    Rows,
    missing,
    numbers,
    others,
    rows_of,
    shown,
)
from .use import Use

# Nobody can say what belongs there.
NEEDED = {
    'images': ('id', 'file_name'),
    'annotations': ('image_id', 'category_id', 'bbox'),
    'categories': ('id', 'name'),
}


def missing_keys(found: Annotations, use: Use) -> list[Finding]:
    """Find entries that lack a key which cannot be filled in."""
    findings = []
    # The image itself tells its size, where it can be looked at; see `image_files`.
    asked = use.folder is None or (use.judged and use.masks)
    unknown = np.isnan(found.sizes).any(1)
    for table, keys in NEEDED.items():
        columns, name = _table(found, table)
        if table == 'images' and asked:
            keys += ('width', 'height')
        for key in keys:
            gone = missing(columns[key])
            if key in ('width', 'height'):
                gone &= unknown
            if rows := rows_of(gone):
                findings.append(
                    Finding(
                        Severity.ERROR,
                        'missing-key',
                        f'{found.path}, {name(rows[0])}',
                        f'it has no {key}{others(rows)}',
                        f'write {key} for each entry of the list {table}',
                        len(rows),
                    )
                )
    return findings


def no_numbers(found: Annotations, use: Use) -> list[Finding]:
    """Find text, NaN, infinity and lists that are too short in place of numbers."""
    findings = []
    for (table, key), (wanted, wrong) in _WANTED.items():
        columns, name = _table(found, table)
        values = columns[key]
        if rows := rows_of(wrong(found, values) & ~missing(values)):
            findings.append(
                Finding(
                    Severity.ERROR,
                    'number',
                    f'{found.path}, {name(rows[0])}',
                    f'its {key} is {shown(values[rows[0]])}, where {wanted} must stand'
                    f'{others(rows)}',
                    'correct it or leave it out',
                    len(rows),
                )
            )
    return findings


def doubtful_ids(found: Annotations, use: Use) -> list[Finding]:
    """Find images or categories that share an id, or whose ids cannot be sorted.

    Those of objects can be mended.
    """
    findings = []
    for table in ('images', 'categories'):
        columns, name = _table(found, table)
        first: dict = {}
        rows = []
        for row, key in enumerate(columns['id']):
            if type(key) in (int, float, str) and first.setdefault(key, row) != row:
                rows.append(row)
        if rows:
            key = columns['id'][rows[0]]
            what = f'its id {key!r} is also that of {name(first[key])}'
            remedy = f'give each entry of the list {table} an id of its own'
        else:
            texts = [type(key) is str for key in columns['id']]
            if all(texts) or not any(texts):
                continue
            rows = [texts.index(not texts[0])]
            what = f'its id is {shown(columns["id"][rows[0]])}, and others are '
            what += 'text' if texts[0] else 'numbers'
            remedy = 'write all ids as numbers'
        findings.append(
            Finding(
                Severity.ERROR,
                'ids',
                f'{found.path}, {name(rows[0])}',
                f'{what}{others(rows)}',
                remedy,
                len(rows),
            )
        )
    return findings


def repeated_images(found: Annotations, use: Use) -> list[Finding]:
    """Find image files that are listed more than once, under several ids."""
    names, ids = found.images['file_name'], found.images['id']
    first: dict[str, int] = {}
    rows = [
        row
        for row, name in enumerate(names)
        if type(name) is str and first.setdefault(name, row) != row
    ]
    if not rows:
        return []
    two = (shown(ids[row]) for row in (first[names[rows[0]]], rows[0]))
    return [
        Finding(
            Severity.WARNING,
            'image-repeated',
            f'{found.path}, {found.image(rows[0])}',
            f'it is listed twice, with the ids {" and ".join(two)}{others(rows)}, and '
            'each has only the objects of its id',
            'list it once, with all of its objects',
            len(rows),
        )
    ]


def _table(found: Annotations, table: str) -> tuple[Columns, Callable[[int], str]]:
    """Return a table's columns, and how a message calls one of its rows."""
    if table == 'images':
        return found.images, found.image
    if table == 'annotations':
        return found.objects, found.object
    names = found.categories['name']
    return (
        found.categories,
        lambda row: (
            f'category {names[row]!r}'
            if type(names[row]) is str
            else f'category number {row + 1}'
        ),
    )


def _no_flag(found: Annotations, values: list) -> Rows:
    if {*map(type, values)} <= {int} and {*values} <= {0, 1}:
        return np.zeros(len(values), bool)
    return np.array(
        [type(v) not in (int, float, bool) or v not in (0, 1) for v in values], bool
    )


def _no_size(found: Annotations, values: list) -> Rows:
    return ~(numbers(values) > 0)


def _no_id(found: Annotations, values: list) -> Rows:
    return _of_other_types(values, int, float, str)


def _no_class(found: Annotations, values: list) -> Rows:
    return _of_other_types(values, int, str)


def _no_text(found: Annotations, values: list) -> Rows:
    return _of_other_types(values, str)


def _of_other_types(values: list, *types: type) -> Rows:
    if {*map(type, values)} <= {*types}:
        return np.zeros(len(values), bool)
    return np.array([type(value) not in types for value in values], bool)


# What must stand in a column, and what finds the rows where it does not.
_ID = ('a number or a text', _no_id)
_SIZE = ('a number above 0', _no_size)
_WANTED: dict[tuple[str, str], tuple[str, Callable[[Annotations, list], Rows]]] = {
    ('annotations', 'bbox'): (
        'four numbers',
        lambda found, values: np.isnan(found.boxes).any(1),
    ),
    ('annotations', 'area'): ('a number', lambda found, values: np.isnan(found.areas)),
    ('annotations', 'iscrowd'): ('0 or 1', _no_flag),
    ('annotations', 'image_id'): _ID,
    ('annotations', 'category_id'): _ID,
    ('images', 'width'): _SIZE,
    ('images', 'height'): _SIZE,
    ('images', 'id'): _ID,
    ('images', 'file_name'): ('a text', _no_text),
    ('categories', 'id'): _ID,
    ('categories', 'name'): ('a text', _no_class),
}
