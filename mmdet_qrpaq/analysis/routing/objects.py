"""Which objects' queries enter: routing by class and by size of the matched object.

Called by ``tools/analysis/query_routing.py``. A query counts for the object that the
head's own one-to-one assigner gives it on the last decoder layer; a query without an
object counts as background. Sizes are COCO's, of the box's area in the stored picture.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from torch import nn
from torch.utils.data import DataLoader

from ...records.schema import COUNT, SHARE, TEXT, fields, list_of, or_none
from ..class_axis import name_columns
from ..matching import MatchedBatch, matched_batches
from ..object_sizes import BOUNDS, SIZES
from .decisions import SCHEMA as LAYERS
from .decisions import (
    LayerRouting,
    RoutingStatistics,
    collect_numbers,
    draw_histograms,
)

_ROW = fields(
    name=TEXT,
    queries=COUNT,
    entered=list_of(or_none(SHARE)),
    mean=or_none(SHARE),
)
OBJECTS = fields(sizes=list_of(_ROW), classes=list_of(_ROW), background=_ROW)
SCHEMA = fields(**LAYERS, objects=OBJECTS)


class ObjectRouting:
    """Counts entering queries by class and size of their object while a detector runs.

    A batch costs some additions on its own device and no synchronisation.

    Args:
        layers: Routed layers of a detector; their passes are observed from now on.
        classes: Names, by label.
    """

    def __init__(self, layers: Sequence[nn.Module], classes: Sequence[str]) -> None:
        self._classes = classes
        self._enter = [None] * len(layers)
        self._handles = [
            layer.register_forward_hook(partial(self._observe, index))
            for index, layer in enumerate(layers)
        ]
        device = next(layers[0].parameters()).device
        self._bounds = torch.tensor(BOUNDS, device=device)
        # Queries, and of them those that enter each layer; the last column: background.
        size = (1 + len(layers), len(classes) * len(SIZES) + 1)
        self._counts = torch.zeros(size, dtype=torch.long, device=device)

    def _observe(self, index: int, layer: nn.Module, *_) -> None:
        # Taken here: the detector clears the trace once its decoder has run.
        self._enter[index] = layer.trace.enter

    def add(self, batch: MatchedBatch) -> None:
        """Count a batch that the detector has just been run on."""
        sides = batch.truth_in_file[..., 2:] - batch.truth_in_file[..., :2]
        size = torch.bucketize(sides.prod(-1), self._bounds, right=True)
        background = self._counts.shape[1] - 1
        cell = batch.labels * len(SIZES) + size
        cell = torch.where(batch.matched, cell, background).flatten()
        every = torch.ones_like(batch.matched)
        marks = torch.stack([every, *self._enter]).flatten(1).long()
        self._counts.index_add_(1, cell, marks)

    def stop(self) -> None:
        """Observe no more; what was counted stays."""
        for handle in self._handles:
            handle.remove()

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
    """Shares of queries (first count) that enter each layer (the other counts)."""
    queries = int(counts[0])
    shares = (counts[1:] / queries).tolist() if queries else [None] * (len(counts) - 1)
    mean = float(np.mean(shares)) if queries else None
    return dict(name=name, queries=queries, entered=shares, mean=mean)


def count_routing(
    detector: nn.Module, dataloader: DataLoader, classes: Sequence[str]
) -> tuple[list[LayerRouting], dict]:
    """Run a detector over a data set and count its routing.

    Args:
        detector: In eval mode; has `QueryRoutingMixin`, with ``query_routing`` set.
        dataloader: Gives pictures with ground truth.
        classes: Names, by label.

    Returns:
        What each layer decides, and the same by object as `OBJECTS` describes it.

    Raises:
        ConfigError: The detector does not route, or there are no pictures.
    """
    statistics = RoutingStatistics(detector)
    objects = ObjectRouting(detector.routed_layers, classes)
    statistics.start()
    try:
        for batch in matched_batches(detector, dataloader, 'counting routed queries'):
            objects.add(batch)
    finally:
        statistics.stop()
        objects.stop()
    return statistics.layers(), objects.numbers()


def collect_all(layers: Sequence[LayerRouting], objects: dict) -> dict:
    """Return what `SCHEMA` describes."""
    return dict(collect_numbers(layers), objects=objects)


def draw_all(layers: Sequence[LayerRouting], objects: dict) -> Figure:
    """Draw the histograms of each site above the shares by object."""
    sites = {layer.site for layer in layers}
    columns = len(SIZES) + len(objects['classes']) + 1
    width = max(3.1 * len(sites) + 0.4, min(0.5 * columns + 2, 12))
    low = 1.6 + 0.32 * len(layers)
    figure = Figure(figsize=(width, 2.9 + low), layout='constrained')
    top, bottom = figure.subfigures(2, 1, height_ratios=[2.9, low])
    draw_histograms(top, layers)
    draw_objects(bottom, layers, objects)
    return figure


def draw_objects(
    figure: FigureBase, layers: Sequence[LayerRouting], objects: dict
) -> Axes:
    """Draw shares of entering queries: a row a layer, a column a size or class."""
    groups = [objects['sizes'], objects['classes'], [objects['background']]]
    rows = [row for group in groups for row in group]
    shares = np.array([row['entered'] for row in rows], float).T
    axes = figure.subplots()
    shown = axes.imshow(100 * shares, cmap='cividis', vmin=0, vmax=100, aspect='auto')
    axes.set_facecolor('0.88')
    for edge in np.cumsum([len(group) for group in groups])[:-1]:
        axes.axvline(edge - 0.5, color='white', linewidth=4)
    roomy = name_columns(axes, range(len(rows)), [row['name'] for row in rows])
    axes.set_yticks(range(len(shares)), [layer.name for layer in layers])
    if roomy:
        for (row, column), share in np.ndenumerate(shares):
            text = '–' if np.isnan(share) else f'{100 * share:.0f}'
            dark = share < 0.55
            colour = 'white' if dark else 'black'
            axes.text(column, row, text, color=colour, ha='center', va='center')
    matched = sum(row['queries'] for row in objects['sizes'])
    axes.set_title(
        f'queries that enter (%), by size and class of their object ({matched} matched '
        'queries; grey: no such object)',
        fontsize=10,
    )
    figure.colorbar(shown, ax=axes, label='%', pad=0.01)
    return axes
