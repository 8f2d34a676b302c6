"""How evenly a detector uses its queries: hits per query, Gini, Lorenz curve.

Called by ``tools/analysis/query_usage.py``; mirrors PaQ-DETR Fig. 1 and the column
Gini of Table 6. The paper does not define 'activation'. Here a *hit* of query i is an
object that the head's own one-to-one assigner gives to query i on the last decoder
layer, counted over a whole data set. A hit is *confident and correct* if in addition
the query's best class is the object's, its score is at least `score_threshold` and its
box has at least `iou_threshold` with the object's. On two-stage hosts (DINO) a query's
index is the rank of its encoder proposal, so hits gather on the first queries by
construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...records.schema import COUNT, SHARE, TEXT, fields, list_of, or_none
from ..matching import MatchedBatch, matched_batches

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


@dataclass
class QueryUsage:
    """Hits per query over a data set.

    Attributes:
        hits: Matches per query, (num_queries,), int.
        confident_hits: Those of them that are confident and correct, same shape.
        num_images: Pictures looked at.
        num_objects: Ground truths in them.
        score_threshold: Least probability of a confident hit.
        iou_threshold: Least IoU of a correct hit.
    """

    hits: np.ndarray
    confident_hits: np.ndarray
    num_images: int = 0
    num_objects: int = 0
    score_threshold: float = 0.3
    iou_threshold: float = 0.5

    def as_dict(self) -> dict:
        """Return all but the thresholds, with the Gini coefficients, as JSON types."""
        return dict(
            num_queries=len(self.hits),
            num_images=self.num_images,
            num_objects=self.num_objects,
            gini=_gini_or_none(self.hits),
            gini_confident=_gini_or_none(self.confident_hits),
            unused_queries=int((self.hits == 0).sum()),
            hits=self.hits.tolist(),
            confident_hits=self.confident_hits.tolist(),
        )


def count_query_hits(
    detector: nn.Module,
    dataloader: DataLoader,
    *,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
) -> QueryUsage:
    """Run a detector over a data set and count which query finds which object.

    Args:
        detector: In eval mode, built with its `train_cfg` (it holds the assigner).
        dataloader: Gives pictures with ground truth.
        score_threshold: In [0, 1].
        iou_threshold: In [0, 1].

    Raises:
        ConfigError: The detector is no DETR, has no assigner, or there are no pictures.
    """
    hits, num_images, num_objects = 0, 0, 0
    for batch in matched_batches(detector, dataloader, 'counting query hits'):
        hits = hits + count_hits(batch, score_threshold, iou_threshold)
        num_images += len(batch.boxes)
        num_objects += batch.num_objects
    matched, confident = hits.cpu().numpy()
    return QueryUsage(
        matched, confident, num_images, num_objects, score_threshold, iou_threshold
    )


def count_hits(
    batch: MatchedBatch, score_threshold: float, iou_threshold: float
) -> Tensor:
    """Return the hits, and the confident and correct ones, of each query: (2, nq)."""
    good = confident_and_correct(batch, score_threshold, iou_threshold)
    return torch.stack([batch.matched, good]).sum(1)


def confident_and_correct(
    batch: MatchedBatch, score_threshold: float, iou_threshold: float
) -> Tensor:
    """Return which queries find their object, are sure and are right: (bs, nq)."""
    # Under softmax the last class is 'no object': the best may be that.
    score, label = batch.scores.max(-1)
    iou = bbox_overlaps(batch.boxes, batch.truth, is_aligned=True)
    good = batch.matched & (label == batch.labels)
    return good & (score >= score_threshold) & (iou >= iou_threshold)


def collect_numbers(usages: dict[str, QueryUsage]) -> dict:
    """Return what `SCHEMA` describes, of models by name with common thresholds."""
    first = next(iter(usages.values()))
    return dict(
        score_threshold=first.score_threshold,
        iou_threshold=first.iou_threshold,
        models=[dict(name=name, **usage.as_dict()) for name, usage in usages.items()],
    )


def draw_query_usage(usages: dict[str, QueryUsage]) -> Figure:
    """Draw hits per query, most used first, beside the Lorenz curves.

    Of one model, its matches and those of them that are confident and correct are
    drawn; of several, the latter as they compare.

    Args:
        usages: Models by the name for the legend, in drawing order.
    """
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    panels = figure.subplots(1, 2, width_ratios=[1.5, 1])
    if len(usages) == 1:
        _draw_one(*panels, *usages.values())
    else:
        _draw_several(*panels, usages)
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


def _confident(usage: QueryUsage) -> str:
    return (
        f'confident and correct (score ≥ {usage.score_threshold:g}, '
        f'IoU ≥ {usage.iou_threshold:g})'
    )


def _draw_one(bars, lorenz, usage: QueryUsage) -> None:
    ranks = np.arange(len(usage.hits) + 1)
    order = np.argsort(-usage.hits, kind='stable')
    series = (
        ('matched', usage.hits, '#9ecae1'),
        (_confident(usage), usage.confident_hits, '#08519c'),
    )
    for name, counts, colour in series:
        bars.stairs(counts[order], ranks, fill=True, color=colour, label=name)
        if counts.any():
            label = f'{name.partition(" (")[0]}: Gini {gini(counts):.2f}'
            lorenz.plot(*lorenz_curve(counts), color=colour, linewidth=2.2, label=label)
    bars.set(
        xlabel=f'queries, most used first ({len(usage.hits)})',
        ylabel='hits',
        title=f'{usage.num_objects} objects in {usage.num_images} pictures',
        xlim=(0, len(usage.hits)),
    )


def _draw_several(bars, lorenz, usages: dict[str, QueryUsage]) -> None:
    """Shares, not counts: the models may have seen different numbers of objects."""
    styles = ('-', '--', '-.', ':')
    for number, (name, usage) in enumerate(usages.items()):
        counts = usage.confident_hits
        style = dict(color=f'C{number}', linestyle=styles[number % 4], linewidth=2)
        share = 100 * np.sort(counts)[::-1] / max(usage.num_objects, 1)
        bars.stairs(share, np.arange(len(counts) + 1), label=name, **style)
        if counts.any():
            label = f'{name}: Gini {gini(counts):.2f}'
            lorenz.plot(*lorenz_curve(counts), label=label, **style)
    first = next(iter(usages.values()))
    seen = {(usage.num_objects, usage.num_images) for usage in usages.values()}
    title = _confident(first)
    if len(seen) == 1:
        title += f': {first.num_objects} objects in {first.num_images} pictures'
    bars.set_title(title, fontsize=9)
    bars.set(
        xlabel='queries, most used first',
        ylabel='hits (% of all objects)',
        xlim=(0, max(len(usage.hits) for usage in usages.values())),
        ylim=(0, None),
    )
