"""How evenly a detector uses its queries: hits per query, Gini, Lorenz curve.

PaQ-DETR Fig. 1 and the column Gini of Table 6. The paper does not define 'activation';
what counts here as a hit, and which are confident and correct, `section.USAGE` tells.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.dist import all_reduce
from torch import Tensor

from ...errors import ConfigError
from ...records.schema import COUNT, SHARE, TEXT, fields, list_of, or_none
from ...records.tables import Table, plain
from ..matching import confident_and_correct, require_matching
from ..one_pass import SeenBatch
from ..trained_detector import TrainedModel

SCHEMA = fields(
    score_threshold=SHARE,
    iou_threshold=SHARE,
    models=list_of(
        fields(
            name=TEXT,
            num_queries=COUNT,
            num_images=COUNT,
            num_objects=COUNT,
            gini=or_none(SHARE),
            gini_confident=or_none(SHARE),
            unused_queries=COUNT,
            hits=list_of(COUNT),
            confident_hits=list_of(COUNT),
        )
    ),
)


def gini(counts: Sequence[float] | np.ndarray) -> float:
    """Return the Gini coefficient: 0 for equal counts, (n - 1) / n for all in one.

    The mean absolute difference over all ordered pairs, divided by twice the mean:
    sum_ij |x_i - x_j| / (2 n^2 mean). Without any hit it is 0.

    Shapes:
        counts: (n,), n >= 1.

    Raises:
        ValueError: No counts, or a negative one.
    """
    ordered = np.sort(np.asarray(counts, float))
    if ordered.size == 0 or ordered[0] < 0:
        raise ValueError('gini needs at least one count and none below zero.')
    n, total = len(ordered), ordered.sum()
    if total == 0:
        return 0.0
    # The k-th smallest is the larger of a pair k - 1 times, the smaller n - k times.
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def lorenz_curve(counts: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of hits (y) that the least used share of queries (x) has.

    Shapes:
        counts: (n,); returns x, y: (n + 1,), both from 0 to 1.
    """
    ordered = np.sort(np.asarray(counts, float))
    x = np.linspace(0, 1, len(ordered) + 1)
    if ordered.sum() == 0:
        return x, x.copy()
    return x, np.concatenate([[0.0], np.cumsum(ordered) / ordered.sum()])


def _gini_or_none(counts: np.ndarray) -> float | None:
    """Return the Gini coefficient, or None without a hit: then it would mislead."""
    return gini(counts) if counts.any() else None


class UsageObserver:
    """Counts which query finds which object while a detector runs.

    A batch costs some additions on its own device.

    Args:
        score_threshold: Least probability of a confident hit, in [0, 1].
        iou_threshold: Least IoU of a correct hit, in [0, 1].
    """

    images = None

    def __init__(self, score_threshold: float, iou_threshold: float) -> None:
        self.thresholds = dict(
            score_threshold=score_threshold, iou_threshold=iou_threshold
        )
        self._hits: Tensor | int = 0
        self.num_images = self.num_objects = 0

    def see(self, batch: SeenBatch) -> None:
        """Count a batch."""
        matched = batch.matched
        good = confident_and_correct(matched, **self.thresholds)
        self._hits = self._hits + torch.stack([matched.matched, good]).sum(1)
        self.num_images += len(matched.boxes)
        self.num_objects += matched.num_objects

    def numbers(self, reduce: bool = False) -> dict:
        """Return hits, Gini coefficients and what was seen, as JSON types.

        Args:
            reduce: Sum hits over all processes, which must all call this.
        """
        if reduce:
            all_reduce(self._hits)
        counts = self._hits.cpu().numpy()
        return describe(*counts, self.num_images, self.num_objects)


def describe(
    hits: np.ndarray, confident_hits: np.ndarray, num_images: int, num_objects: int
) -> dict:
    """Return a model's entry in what `SCHEMA` describes, but for its name.

    Shapes:
        hits, confident_hits: (num_queries,), int.
    """
    return dict(
        num_queries=len(hits),
        num_images=num_images,
        num_objects=num_objects,
        gini=_gini_or_none(hits),
        gini_confident=_gini_or_none(confident_hits),
        unused_queries=int((hits == 0).sum()),
        hits=hits.tolist(),
        confident_hits=confident_hits.tolist(),
    )


def observe(
    models: Sequence[TrainedModel], score_threshold: float, iou_threshold: float
) -> list[UsageObserver]:
    """Return observers that count hits.

    Raises:
        ConfigError: A detector is no DETR, or has no assigner.
    """
    for model in models:
        require_matching(model.detector, 'counting query hits')
    return [UsageObserver(score_threshold, iou_threshold) for _ in models]


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[UsageObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure.

    Raises:
        ConfigError: There is no object in the images.
    """
    rows = [
        dict(name=model.name, **observer.numbers())
        for model, observer in zip(models, observers, strict=True)
    ]
    if not any(row['num_objects'] for row in rows):
        raise ConfigError(
            'there is no object in these images that a query could find; choose '
            'another ann_file.'
        )
    numbers = dict(observers[0].thresholds, models=rows)
    return numbers, draw(numbers)


def tables(numbers: dict) -> list[Table]:
    """Tabulate Gini coefficients, a row a model."""
    columns = (
        'model',
        'Gini, matched',
        'Gini, confident and correct',
        'queries never matched',
    )
    rows = [
        [
            row['name'],
            plain(row['gini'], 3),
            plain(row['gini_confident'], 3),
            f'{row["unused_queries"]} of {row["num_queries"]}',
        ]
        for row in numbers['models']
    ]
    caption = 'Gini coefficient: 0 all queries alike, near 1 few do all'
    return [Table(caption, columns, rows)]


def draw(numbers: dict) -> Figure:
    """Draw hits per query, most used first, beside the Lorenz curves.

    Of one model, its matches and those of them that are confident and correct are
    drawn; of several, the latter as they compare.

    Args:
        numbers: See `SCHEMA`.
    """
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    panels = figure.subplots(1, 2, width_ratios=[1.5, 1])
    if len(numbers['models']) == 1:
        _draw_one(*panels, numbers)
    else:
        _draw_several(*panels, numbers)
    bars, lorenz = panels
    lorenz.plot([0, 1], [0, 1], color='0.5', linestyle=':', label='all alike: Gini 0')
    lorenz.set(
        xlabel='share of queries, least used first',
        ylabel='share of hits',
        title='Lorenz curve',
        xlim=(0, 1),
        ylim=(0, 1),
    )
    lorenz.set_aspect('equal')
    for axes in panels:
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _confident(numbers: dict) -> str:
    return (
        f'confident and correct (score ≥ {numbers["score_threshold"]:g}, '
        f'IoU ≥ {numbers["iou_threshold"]:g})'
    )


def _draw_one(bars, lorenz, numbers: dict) -> None:
    (model,) = numbers['models']
    ranks = np.arange(len(model['hits']) + 1)
    order = np.argsort(-np.array(model['hits']), kind='stable')
    series = (
        ('matched', model['hits'], '#9ecae1'),
        (_confident(numbers), model['confident_hits'], '#08519c'),
    )
    for name, hits, colour in series:
        counts = np.array(hits)
        bars.stairs(counts[order], ranks, fill=True, color=colour, label=name)
        style = dict(color=colour, linewidth=2.2)
        _draw_lorenz(lorenz, name.partition(' (')[0], counts, style)
    bars.set(
        xlabel=f'queries, most used first ({len(order)})',
        ylabel='hits',
        title=f'{model["num_objects"]} objects in {model["num_images"]} images',
        xlim=(0, len(order)),
    )


def _draw_several(bars, lorenz, numbers: dict) -> None:
    """Draw shares, not counts: models may have seen different numbers of objects."""
    models = numbers['models']
    styles = ('-', '--', '-.', ':')
    for number, model in enumerate(models):
        counts = np.array(model['confident_hits'])
        style = dict(color=f'C{number}', linestyle=styles[number % 4], linewidth=2)
        share = 100 * np.sort(counts)[::-1] / max(model['num_objects'], 1)
        bars.stairs(share, np.arange(len(counts) + 1), label=model['name'], **style)
        _draw_lorenz(lorenz, model['name'], counts, style)
    title = _confident(numbers)
    seen = {(model['num_objects'], model['num_images']) for model in models}
    if len(seen) == 1:
        title += ': {} objects in {} images'.format(*seen.pop())
    bars.set_title(title, fontsize=9)
    bars.set(
        xlabel='queries, most used first',
        ylabel='hits (% of all objects)',
        xlim=(0, max(len(model['hits']) for model in models)),
        ylim=(0, None),
    )


def _draw_lorenz(axes, name: str, counts: np.ndarray, style: dict) -> None:
    if counts.any():
        label = f'{name}: Gini {gini(counts):.2f}'
        axes.plot(*lorenz_curve(counts), label=label, **style)
