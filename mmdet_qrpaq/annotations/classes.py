"""Compares the categories of a file with the classes of a run, by name."""

from collections.abc import Iterable

from ..finding import Finding, Severity
from .reading import Annotations
from .use import Use


def category_names(found: Annotations, use: Use) -> list[Finding]:
    """Find classes that are no category of the file, or more than one."""
    names = found.names
    if absent := [name for name in use.classes if name not in names]:
        return [
            Finding(
                Severity.ERROR,
                'classes',
                use.key,
                f'{len(absent)} of its {len(use.classes)} classes ({shorten(absent)}) '
                f'are not among the {len(names)} categories of {found.path} '
                f'({shorten(names)})',
                _remedy(use, len(names)),
                len(absent),
            )
        ]
    if repeated := [name for name in use.classes if names.count(name) > 1]:
        return [
            Finding(
                Severity.ERROR,
                'classes',
                use.key,
                f'{found.path} has several categories with the name {repeated[0]}',
                'merge or rename them in the file',
                len(repeated),
            )
        ]
    return []


def order_of(found: Annotations, use: Use) -> list[int] | None:
    """Return how to order the categories by the classes; `None`: they are in order.

    Upstream numbers labels in the order of the file, and names them in that of the
    classes.
    """
    rank = {name: place for place, name in enumerate(use.classes)}
    rows = [row for row, name in enumerate(found.names) if name in rank]
    order = sorted(rows, key=lambda row: rank[found.names[row]])
    if order == rows:
        return None
    return order + [row for row in range(len(found.names)) if row not in rows]


def _remedy(use: Use, count: int) -> str:
    if use.judged:
        return f'set {use.key}.ann_file to a file that has them'
    remedy = f'set {use.key}.metainfo=dict(classes=(...)) to the names in the file'
    if count != len(use.classes):
        remedy += (
            f', and model.bbox_head.num_classes={count} instead of {len(use.classes)}'
        )
    return remedy


def shorten(names: Iterable, limit: int = 4) -> str:
    """Join names, the first few of a long list; quotes tell '0' from 0."""
    names = [repr(name) for name in names]
    more = '' if len(names) <= limit else f', ... {len(names) - limit} more'
    return ', '.join(names[:limit]) + more
