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

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.structures import InstanceData
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..errors import ConfigError
from .trained_detector import box_scale, boxes_follow_resize


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
        """Return everything, with the Gini coefficients, as JSON types."""
        return dict(
            num_queries=len(self.hits),
            num_images=self.num_images,
            num_objects=self.num_objects,
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            gini=_gini_or_none(self.hits),
            gini_confident=_gini_or_none(self.confident_hits),
            unused_queries=int((self.hits == 0).sum()),
            hits=self.hits.tolist(),
            confident_hits=self.confident_hits.tolist(),
        )


@torch.no_grad()
def count_query_hits(
    detector: nn.Module,
    dataloader: DataLoader,
    *,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
) -> QueryUsage:
    """Run a detector over a data set and count which query finds which object.

    Works on every mmdet DETR: it uses `extract_feat`, `forward_transformer`, the head's
    forward and the head's own assigner.

    Args:
        detector: In eval mode, built with its `train_cfg` (it holds the assigner).
        dataloader: Gives pictures with ground truth.
        score_threshold: In [0, 1].
        iou_threshold: In [0, 1].

    Raises:
        ConfigError: The detector is no DETR, has no assigner, or there are no pictures.
    """
    head = getattr(detector, 'bbox_head', None)
    if not hasattr(detector, 'forward_transformer') or not hasattr(head, 'assigner'):
        raise ConfigError(
            f'query usage needs a DETR with a one-to-one assigner, and '
            f'{type(detector).__name__} has none; keep train_cfg in the model config.'
        )
    resized = boxes_follow_resize(dataloader.dataset)
    usage = None
    for batch in track(dataloader, 'counting query hits'):
        batch = detector.data_preprocessor(batch, False)
        samples: SampleList = batch['data_samples']
        features = detector.extract_feat(batch['inputs'])
        outputs = head(**detector.forward_transformer(features, samples))
        logits, boxes = outputs[0][-1], outputs[1][-1]
        if usage is None:
            zeros = np.zeros(logits.shape[1], int)
            usage = QueryUsage(zeros, zeros.copy())
            usage.score_threshold, usage.iou_threshold = score_threshold, iou_threshold
        for sample, sample_logits, sample_boxes in zip(
            samples, logits, boxes, strict=True
        ):
            truth = InstanceData(
                bboxes=sample.gt_instances.bboxes, labels=sample.gt_instances.labels
            )
            if not resized:
                truth.bboxes = truth.bboxes * box_scale(sample, truth.bboxes)
            add_image(usage, head, sample_logits, sample_boxes, truth, sample.metainfo)
    if usage is None:
        raise ConfigError('the data loader has no pictures; mend its ann_file.')
    return usage


def add_image(
    usage: QueryUsage,
    head: nn.Module,
    logits: Tensor,
    boxes: Tensor,
    truth: InstanceData,
    meta: dict,
) -> None:
    """Add one picture's hits to `usage`.

    Args:
        head: Has `assigner` and `loss_cls`.
        logits: Last layer's class logits.
        boxes: Last layer's boxes, (cx, cy, w, h) in [0, 1] of the resized picture.
        truth: `bboxes` (x1, y1, x2, y2; pixels of the resized picture) and `labels`.
        meta: Has `img_shape`, the resized picture's (height, width).

    Shapes:
        logits: (num_queries, num_classes [+ 1]); boxes: (num_queries, 4).
    """
    height, width = meta['img_shape'][:2]
    pixels = bbox_cxcywh_to_xyxy(boxes) * boxes.new_tensor([width, height] * 2)
    usage.num_images += 1
    usage.num_objects += len(truth)
    if len(truth) == 0:
        return
    matched = head.assigner.assign(
        pred_instances=InstanceData(scores=logits, bboxes=pixels),
        gt_instances=truth,
        img_meta=meta,
    ).gt_inds
    queries = torch.nonzero(matched > 0).flatten()
    objects = matched[queries] - 1
    use_sigmoid = getattr(head.loss_cls, 'use_sigmoid', False)
    # Under softmax the last column is 'no object': the best class may be that.
    scores = logits.sigmoid() if use_sigmoid else logits.softmax(-1)
    score, label = scores[queries].max(-1)
    iou = bbox_overlaps(pixels[queries], truth.bboxes[objects], is_aligned=True)
    good = (label == truth.labels[objects]) & (score >= usage.score_threshold)
    good &= iou >= usage.iou_threshold
    queries = queries.cpu().numpy()
    usage.hits[queries] += 1
    usage.confident_hits[queries[good.cpu().numpy()]] += 1


def write_query_usage(usage: QueryUsage, folder: Path) -> tuple[Path, Path]:
    """Write `query_usage.json` and `query_usage.png`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    table, picture = folder / 'query_usage.json', folder / 'query_usage.png'
    table.write_text(json.dumps(usage.as_dict(), indent=1) + '\n')
    draw_query_usage(usage).savefig(picture, dpi=160)
    return table, picture


def draw_query_usage(usage: QueryUsage) -> Figure:
    """Draw hits per query, most used first, beside the Lorenz curves."""
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    bars, lorenz = figure.subplots(1, 2, width_ratios=[1.5, 1])
    ranks = np.arange(len(usage.hits) + 1)
    confident = (
        f'confident and correct (score ≥ {usage.score_threshold:g}, '
        f'IoU ≥ {usage.iou_threshold:g})'
    )
    order = np.argsort(-usage.hits, kind='stable')
    series = (
        ('matched', usage.hits, '#9ecae1'),
        (confident, usage.confident_hits, '#08519c'),
    )
    for name, counts, colour in series:
        bars.stairs(counts[order], ranks, fill=True, color=colour, label=name)
        if not counts.any():
            continue
        x, y = lorenz_curve(counts)
        label = f'{name.partition(" (")[0]}: Gini {gini(counts):.2f}'
        lorenz.plot(x, y, color=colour, linewidth=2.2, label=label)
    bars.set(
        xlabel=f'queries, most used first ({len(usage.hits)})',
        ylabel='hits',
        title=f'{usage.num_objects} objects in {usage.num_images} pictures',
        xlim=(0, len(usage.hits)),
    )
    lorenz.plot([0, 1], [0, 1], color='0.5', linestyle=':', label='all alike: Gini 0')
    lorenz.set(
        xlabel='share of queries, least used first',
        ylabel='share of hits',
        title='Lorenz curve',
        xlim=(0, 1),
        ylim=(0, 1),
    )
    lorenz.set_aspect('equal')
    for axes in (bars, lorenz):
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return figure
