"""Which queries enter which decoder layers, and whose: by class and size of object.

A query counts for the object that the head's own one-to-one assigner gives it on the
last decoder layer; a query without an object counts as background. Sizes are COCO's, of
the area of the box in the stored image.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure, FigureBase
from torch import Tensor

from ...records.schema import COUNT, SHARE, TEXT, fields, list_of, or_none
from ...records.tables import Table, percent, plain
from ..class_axis import name_columns
from ..matching import MatchedBatch, require_matching
from ..object_sizes import BOUNDS, SIZES
from ..one_pass import SeenBatch
from ..trained_detector import TrainedModel
from .decisions import (
    LAYERS,
    RoutingStatistics,
    draw_histograms,
    warn_of_collapse,
)

_ROW = fields(
    name=TEXT,
    queries=COUNT,
    entered=list_of(or_none(SHARE)),
    mean=or_none(SHARE),
)
OBJECTS = fields(sizes=list_of(_ROW), classes=list_of(_ROW), background=_ROW)
SCHEMA = fields(**LAYERS, objects=OBJECTS)
CONVENTION = (
    'std: standard deviation over the images; differ: share of decisions that differ '
    'between two random images (0: the image does not matter, at most 50 %); the row '
    'of a site is the mean of its layers.'
)


class ObjectRouting:
    """Counts entering queries by class and size of their object.

    A batch costs some additions on its own device and no synchronisation.

    Args:
        classes: Names, by label.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._counts: Tensor | int = 0

    def add(self, batch: MatchedBatch, entered: Sequence[Tensor]) -> None:
        """Count a batch.

        Args:
            entered: Which queries enter, (bs, nq) of each layer.
        """
        sides = batch.truth_in_file[..., 2:] - batch.truth_in_file[..., :2]
        area = sides.prod(-1)
        size = sum((area >= bound).long() for bound in BOUNDS)
        background = len(self._classes) * len(SIZES)
        cell = batch.labels * len(SIZES) + size
        cell = torch.where(batch.matched, cell, background).flatten()
        # Queries, and of them those that enter each layer; last column: background.
        every = torch.ones_like(batch.matched)
        marks = torch.stack([every, *entered]).flatten(1).long()
        counts = marks.new_zeros(len(marks), background + 1)
        self._counts = self._counts + counts.index_add_(1, cell, marks)

    def numbers(self) -> dict:
        """Return what `OBJECTS` describes; what never occurs has shares None."""
        counts = self._counts.cpu().numpy()
        cells = counts[:, :-1].reshape(len(counts), len(self._classes), len(SIZES))
        by_class, by_size = cells.sum(2).T, cells.sum(1).T
        return dict(
            sizes=[_row(*pair) for pair in zip(SIZES, by_size, strict=True)],
            classes=[_row(*pair) for pair in zip(self._classes, by_class, strict=True)],
            background=_row('background', counts[:, -1]),
        )


def _row(name: str, counts: np.ndarray) -> dict:
    """Return the shares of queries (first count) that enter (the others)."""
    queries = int(counts[0])
    shares = (counts[1:] / queries).tolist() if queries else [None] * (len(counts) - 1)
    mean = float(np.mean(shares)) if queries else None
    return dict(name=name, queries=queries, entered=shares, mean=mean)


class RoutingObserver:
    """Counts what each layer decides, and for whose queries."""

    images = None

    def __init__(self, statistics: RoutingStatistics, objects: ObjectRouting) -> None:
        self.statistics, self.objects = statistics, objects

    def see(self, batch: SeenBatch) -> None:
        """Count a batch."""
        self.statistics.add(batch.heard.entered)
        self.objects.add(batch.matched, batch.heard.entered)


def observe(models: Sequence[TrainedModel]) -> list[RoutingObserver]:
    """Return an observer that counts decisions.

    Args:
        models: One.

    Raises:
        ConfigError: The detector does not route, or its queries cannot be matched.
    """
    (model,) = models
    statistics = RoutingStatistics(model.detector)
    require_matching(model.detector, 'counting routed queries')
    return [RoutingObserver(statistics, ObjectRouting(model.classes))]


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[RoutingObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure."""
    (counted,) = observers
    layers = counted.statistics.numbers()
    numbers = dict(layers, objects=counted.objects.numbers())
    return numbers, draw(numbers)


def tables(numbers: dict) -> list[Table]:
    """Tabulate the queries that enter each layer, then shares by object."""

    def cells(row: dict) -> list[str]:
        means = [plain(row[key], 1) for key in ('entered', 'entered_std')]
        return [*means, percent(row['share']), percent(row['differing'])]

    layers = numbers['layers']
    rows = [
        [row['name'], row['site'], *cells(row), 'yes' if row['collapsed'] else 'no']
        for row in layers
    ]
    sites = numbers['sites'].items()
    rows += [['mean', site, *cells(row), ''] for site, row in sites]
    warnings = [
        f'warning: {warn_of_collapse(row)}' for row in layers if row['collapsed']
    ]
    decisions = Table(
        f'Queries that enter, of {numbers["num_queries"]}, over '
        f'{numbers["num_images"]} images',
        ('layer', 'site', 'entered', 'std', 'share, %', 'differ, %', 'collapsed'),
        rows,
        words=(0, 1),
        notes=(CONVENTION, *warnings),
    )
    by_object = Table(
        'Queries that enter, %, by their object',
        ('object', 'queries', *(row['name'] for row in layers), 'all layers'),
        [
            [
                row['name'],
                str(row['queries']),
                *map(percent, row['entered']),
                percent(row['mean']),
            ]
            for group in _groups(numbers)
            for row in group
        ],
    )
    return [decisions, by_object]


def _groups(numbers: dict) -> list[list[dict]]:
    """Return the rows of sizes, of classes and of the background."""
    objects = numbers['objects']
    return [objects['sizes'], objects['classes'], [objects['background']]]


def draw(numbers: dict) -> Figure:
    """Draw the histograms of each site above the shares by object.

    Args:
        numbers: See `SCHEMA`.
    """
    columns = sum(map(len, _groups(numbers)))
    width = max(3.1 * len(numbers['sites']) + 0.4, min(0.5 * columns + 2, 12))
    low = 1.6 + 0.32 * len(numbers['layers'])
    figure = Figure(figsize=(width, 2.9 + low), layout='constrained')
    top, bottom = figure.subfigures(2, 1, height_ratios=[2.9, low])
    draw_histograms(top, numbers)
    _draw_objects(bottom, numbers)
    return figure


def _draw_objects(figure: FigureBase, numbers: dict) -> None:
    """Draw shares of entering queries: a row a layer, a column a size or class."""
    groups = _groups(numbers)
    rows = [row for group in groups for row in group]
    shares = np.array([row['entered'] for row in rows], float).T
    axes = figure.subplots()
    shown = axes.imshow(100 * shares, cmap='cividis', vmin=0, vmax=100, aspect='auto')
    axes.set_facecolor('0.88')
    for edge in np.cumsum([len(group) for group in groups])[:-1]:
        axes.axvline(edge - 0.5, color='white', linewidth=4)
    roomy = name_columns(axes, range(len(rows)), [row['name'] for row in rows])
    axes.set_yticks(range(len(shares)), [layer['name'] for layer in numbers['layers']])
    if roomy:
        for (row, column), share in np.ndenumerate(shares):
            text = '–' if np.isnan(share) else f'{100 * share:.0f}'
            dark = share < 0.55
            colour = 'white' if dark else 'black'
            axes.text(column, row, text, color=colour, ha='center', va='center')
    matched = sum(row['queries'] for row in groups[0])
    axes.set_title(
        f'queries that enter (%), by size and class of their object ({matched} matched '
        'queries; grey: no such object)',
        fontsize=10,
    )
    figure.colorbar(shown, ax=axes, label='%', pad=0.01)
