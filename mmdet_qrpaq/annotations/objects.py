"""Finds objects that upstream leaves out without a word, and boxes that look wrong."""

import numpy as np

from ..finding import Finding, Severity
from .reading import Annotations, Rows, others, rows_of, shown
from .use import Use, other_classes, reasons, usable

_MARGIN = 1.0  # pixels; rounding sticks out by less
_MOST = 0.9  # of the boxes

# What is wrong, and what to do about it.
_REASONS = {
    'image': (
        'with an image_id that no image of the file has',
        'write ids of the list images, as the same kind of number or text',
    ),
    'category': (
        'with a category_id that no category of the file has',
        'write ids of the list categories, as the same kind of number or text',
    ),
    'ignore': ('marked with ignore', 'set it to 0'),
    'crowd': (
        'marked with iscrowd, which leaves them out of training and AP',
        'set iscrowd to 0 if each of them is one object',
    ),
    'area': ('with an area of 0 or less', 'write the area of each in square pixels'),
    'range': (
        'with an area below 0 or above 1e10',
        'write the area of each in square pixels',
    ),
    'box': (
        'with a box of less than one pixel in width or height',
        'write x, y, width and height in pixels',
    ),
    'outside': (
        'with a box outside their image',
        'write x, y, width and height in pixels of the image',
    ),
    'image size': (
        'in images smaller than filter_cfg.min_size',
        'set min_size to 0 in filter_cfg',
    ),
}


def nothing_usable(found: Annotations, use: Use) -> list[Finding]:
    """Count objects that are not learned from, or cannot be judged, by reason.

    Categories that are not among the classes were left out by the config. Crowds are
    told where they are most of the objects; some are part of every large data set.
    """
    if not (use.learned or use.judged) or not len(found):
        return []
    counted = ~other_classes(found, use)
    total, left, told = int(counted.sum()), counted, {}
    for kind, rows in reasons(found, use).items():
        told[kind], left = rows & left, left & ~rows
    kept = int(left.sum())
    if kept and 2 * told['crowd'].sum() < total:
        del told['crowd']
    told = {kind: rows for kind, rows in told.items() if rows.any()}
    if kept and not told:
        return []
    verb = 'learned from' if use.learned else 'compared with detections'
    if not total:
        return [
            Finding(
                Severity.ERROR,
                'nothing-usable',
                found.path,
                f'none of its {len(found)} objects is of the classes of {use.key}',
                'set metainfo.classes to the names in the file',
                len(found),
            )
        ]
    worst = max(told, key=lambda kind: told[kind].sum())
    remedy = _REASONS[worst][1]
    if worst == 'box' and _are_shares(found, counted):
        remedy = (
            'their values are all from 0 to 1, as shares of the image: multiply them '
            'by its width and height'
        )
    number = int(sum(rows.sum() for rows in told.values()))
    count = f'{number} of its {total} objects cannot be {verb}'
    if not kept:
        count = f'none of its {total} objects can be {verb}'
    return [
        Finding(
            Severity.WARNING if kept else Severity.ERROR,
            'objects-dropped' if kept else 'nothing-usable',
            found.path,
            f'{count}: {", ".join(_count(found, k, told[k]) for k in told)}',
            remedy,
            number,
        )
    ]


def no_image_left(found: Annotations, use: Use) -> list[Finding]:
    """Find a file of which upstream keeps no image, and ends in a traceback."""
    total = len(found.sizes)
    if not use.learned or not total:
        return []
    annotated = np.zeros(total, bool)
    of_classes = (found.category_rows >= 0) & ~other_classes(found, use)
    annotated[found.image_rows[of_classes & (found.image_rows >= 0)]] = True
    bare = ~annotated & use.only_annotated
    small = found.sizes.min(1) < use.min_size
    if not (bare | small).all():
        return []
    return [
        Finding(
            Severity.ERROR,
            'no-image-left',
            found.path,
            f'none of its {total} images is used: {int(bare.sum())} hold no object of '
            f'the classes, {int((small & ~bare).sum())} are smaller than '
            f'{use.min_size} pixels',
            f'choose another ann_file, or leave filter_cfg out of {use.key}',
            total,
        )
    ]


def boxes_beyond(found: Annotations, use: Use) -> list[Finding]:
    """Find boxes that reach beyond their image, as corners do if read as sizes."""
    known = found.image_rows >= 0
    boxes, sizes = found.boxes[known], found.sizes[found.image_rows[known]]
    if not len(boxes):
        return []
    start, extent = boxes[:, :2], boxes[:, 2:]
    over = np.maximum(-start, start + extent - sizes)
    beyond = (over > _MARGIN).any(1)
    if not beyond.any():
        return []
    rows = np.flatnonzero(known)[beyond]
    as_corners = ((extent > start) & (extent <= sizes + _MARGIN)).all(1)
    box = [round(value, 2) for value in found.boxes[rows[0]].tolist()]
    what = (
        f'its box {box} reaches beyond the image of {_size(found, rows[0])} pixels'
        f'{others(rows)}'
    )
    remedy = 'look at some of them; boxes are x, y, width and height in pixels'
    if as_corners.mean() >= _MOST:
        remedy = (
            f'{as_corners.sum()} of {len(boxes)} boxes fit once read as corners x1, '
            'y1, x2, y2: if they are, write x1, y1, x2 - x1, y2 - y1'
        )
    return [
        Finding(
            Severity.WARNING,
            'box-beyond-image',
            f'{found.path}, {found.object(rows[0])}',
            what,
            remedy,
            len(rows),
        )
    ]


def more_than_queries(found: Annotations, use: Use) -> list[Finding]:
    """Find images with more objects than the model can ever detect."""
    if use.queries is None or not (use.learned or use.judged):
        return []
    rows = found.image_rows[usable(found, use)]
    counts = np.bincount(rows, minlength=1)
    most = int(counts.max())
    if most <= use.queries:
        return []
    number = int((counts > use.queries).sum())
    return [
        Finding(
            Severity.WARNING,
            'more-objects-than-queries',
            f'{found.path}, {found.image(int(counts.argmax()))}',
            f'it holds {most} objects, and model.num_queries is {use.queries}: in '
            f'{number} images not all can be found',
            f'set model.num_queries to {most} or more',
            number,
        )
    ]


def _count(found: Annotations, kind: str, rows: Rows) -> str:
    first = rows_of(rows)[0]
    text = found.object(first)
    if kind in ('image', 'category'):
        text += f': {shown(found.objects[f"{kind}_id"][first])}'
    return f'{int(rows.sum())} {_REASONS[kind][0]} (the first is {text})'


def _are_shares(found: Annotations, counted: Rows) -> bool:
    boxes = found.boxes[counted]
    return bool(((boxes >= 0) & (boxes <= 1)).all())


def _size(found: Annotations, row: int) -> str:
    width, height = found.sizes[found.image_rows[row]]
    return f'{width:g} x {height:g}'
