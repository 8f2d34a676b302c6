"""Which patterns make the queries that find something (PaQ-DETR Fig. 5).

Called by ``tools/analysis/pattern_weights.py`` and the report. Only models with
patterns have the weights W^D (Eq. 5).

As in the paper, the rows of W^D are those of successful detections: a query that the
head's own assigner gives to an object, whose best class is the object's, with a score
of at least 0.5 and an IoU of at least 0.7. Its number of *effective patterns* is the
exponential of its row's entropy: 1 for a single pattern, m for m equal ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure, SubFigure
from torch import nn
from torch.utils.data import DataLoader

from ...errors import ConfigError
from ...records.schema import COUNT, NUMBER, SHARE, TEXT, fields, list_of, or_none
from ..matching import matched_batches
from ..queries.usage import confident_and_correct
from .capture import captured_weights, effective_patterns, require_patterns

SCHEMA = fields(
    num_images=COUNT,
    num_queries=COUNT,
    num_patterns=COUNT,
    score_threshold=SHARE,
    iou_threshold=SHARE,
    mean_abs_cosine=or_none(SHARE),
    cosine=list_of(list_of(NUMBER)),
    all_queries=fields(mean_weights=list_of(SHARE), effective_patterns=NUMBER),
    classes=list_of(
        fields(
            name=TEXT,
            num_detections=COUNT,
            effective_patterns=NUMBER,
            mean_weights=list_of(SHARE),
            std_weights=list_of(NUMBER),
        )
    ),
    overlap=list_of(list_of(SHARE)),
)


@dataclass(frozen=True)
class PatternWeights:
    """W^D of successful detections, and how alike the patterns are.

    Attributes:
        weights: Rows of W^D by class name, most frequent class first; each (number of
            detections, num_patterns).
        cosine: Between the patterns Q^P, (num_patterns, num_patterns).
        all_weights: Mean row of W^D over all queries and pictures, (num_patterns,).
        all_effective: Effective patterns of a query, mean over the same.
        num_images: Pictures looked at.
        num_queries: Of the model.
        score_threshold: Least score of a successful detection.
        iou_threshold: Its least IoU.
    """

    weights: dict[str, np.ndarray]
    cosine: np.ndarray
    all_weights: np.ndarray
    all_effective: float
    num_images: int
    num_queries: int
    score_threshold: float
    iou_threshold: float

    @property
    def mean_abs_cosine(self) -> float | None:
        """Mean absolute cosine over pairs of different patterns (Eq. 8)."""
        pairs = ~np.eye(len(self.cosine), dtype=bool)
        if not pairs.any():
            return None
        return min(1.0, float(np.abs(self.cosine[pairs]).mean()))

    @property
    def overlap(self) -> np.ndarray:
        """Share of their mean weight that two classes put on the same patterns.

        The sum over the patterns of the smaller mean weight: 1 for equal profiles, 0
        if no pattern serves both.

        Shapes:
            returns: (num_classes, num_classes)
        """
        means = np.stack([rows.mean(0) for rows in self.weights.values()])
        return np.minimum(means[:, None], means[None]).sum(-1).clip(0, 1)

    def as_dict(self) -> dict:
        """Return all but the single rows, as JSON types."""
        return dict(
            num_images=self.num_images,
            num_queries=self.num_queries,
            num_patterns=len(self.cosine),
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            mean_abs_cosine=self.mean_abs_cosine,
            cosine=self.cosine.tolist(),
            all_queries=dict(
                mean_weights=self.all_weights.tolist(),
                effective_patterns=self.all_effective,
            ),
            classes=[
                dict(
                    name=name,
                    num_detections=len(rows),
                    effective_patterns=float(effective_patterns(rows).mean()),
                    mean_weights=rows.mean(0).tolist(),
                    std_weights=rows.std(0).tolist(),
                )
                for name, rows in self.weights.items()
            ],
            overlap=self.overlap.tolist(),
        )


def measure(
    detector: nn.Module,
    dataloader: DataLoader,
    *,
    classes: Sequence[str] | None = None,
    num_classes: int = 4,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.7,
) -> PatternWeights:
    """Collect W^D of the successful detections of some classes over a data set.

    Args:
        detector: In eval mode, built with its `train_cfg` (it holds the assigner).
        dataloader: Gives pictures with ground truth.
        classes: Names; None are the `num_classes` most often found.

    Raises:
        ConfigError: The model has no patterns, a class is unknown or never found, or
            there are no pictures.
    """
    generator = require_patterns(detector)
    names = dataloader.dataset.metainfo['classes']
    if unknown := [name for name in classes or () if name not in names]:
        raise ConfigError(
            f'there is no class {unknown[0]!r}; the data set has {", ".join(names)}.'
        )
    rows, labels, num_images = [], [], 0
    total, effective = 0, 0
    with captured_weights(detector) as captured:
        for batch in matched_batches(detector, dataloader, 'collecting weights'):
            weights = captured.pop()
            good = confident_and_correct(batch, score_threshold, iou_threshold)
            rows.append(weights[good].cpu())
            labels.append(batch.labels[good].cpu())
            num_images += len(weights)
            total = total + weights.sum((0, 1))
            effective = effective + effective_patterns(weights).sum()
    rows, labels = torch.cat(rows).numpy(), torch.cat(labels).numpy()
    counts = np.bincount(labels, minlength=len(names))
    least = f'score >= {score_threshold:g}, IoU >= {iou_threshold:g}'
    if not counts.any():
        raise ConfigError(
            f'nothing is detected successfully ({least}) in {num_images} pictures; '
            'lower the thresholds.'
        )
    if classes is None:
        order = np.argsort(-counts, kind='stable')[:num_classes]
        classes = [names[label] for label in order if counts[label]]
    for name in classes:
        if not counts[names.index(name)]:
            raise ConfigError(
                f'class {name!r} is never detected successfully ({least}) in '
                f'{num_images} pictures; choose another or lower the thresholds.'
            )
    patterns = nn.functional.normalize(generator.patterns.weight.detach(), dim=1)
    num_queries = weights.shape[1]
    return PatternWeights(
        weights={name: rows[labels == names.index(name)] for name in classes},
        cosine=(patterns @ patterns.T).cpu().numpy(),
        all_weights=(total / (num_images * num_queries)).cpu().numpy(),
        all_effective=float(effective) / (num_images * num_queries),
        num_images=num_images,
        num_queries=num_queries,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
    )


def draw(result: PatternWeights) -> Figure:
    """Draw each class's rows of W^D and their spread; below, profiles and cosines."""
    num_patterns = len(result.cosine)
    num_rows = len(result.weights)
    figure = Figure(figsize=(10, 1.7 * num_rows + 3.9), layout='constrained')
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.7 * num_rows, 3.6])
    panels = top.subplots(num_rows, 2, squeeze=False, sharex='col')
    patterns = np.arange(num_patterns)
    highest = max(rows.max() for rows in result.weights.values())
    for (left, right), (name, rows) in zip(panels, result.weights.items(), strict=True):
        image = left.imshow(
            rows[np.argsort(rows.argmax(1), kind='stable')],
            aspect='auto',
            interpolation='nearest',
            cmap='magma',
            vmin=0,
            vmax=highest,
        )
        left.set_ylabel(f'class {name}\n{len(rows)} detections')
        left.set_yticks([])
        low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
        right.bar(patterns, high - low, 0.8, bottom=low, color='#c6dbef')
        right.hlines(middle, patterns - 0.4, patterns + 0.4, color='#08519c')
        right.plot(patterns, rows.mean(0), '.', color='#d94801', markersize=4)
        right.axhline(1 / num_patterns, color='0.5', linestyle=':', linewidth=1)
        effective = float(effective_patterns(rows).mean())
        right.set_title(f'{effective:.1f} effective patterns', fontsize=9, pad=3)
        right.set_ylim(0, 1.05 * highest)
        right.spines[['top', 'right']].set_visible(False)
    top.colorbar(image, ax=list(panels[:, 0]), label='weight', fraction=0.04)
    panels[0, 0].set_title('weights of successful detections', fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel('pattern')
    for axes in panels[:, 1]:
        axes.set_ylabel('weight')
    top.suptitle(
        f'W$^D$ over {result.num_images} pictures, score ≥ '
        f'{result.score_threshold:g}, IoU ≥ {result.iou_threshold:g}; right: median, '
        '5-95 %, mean (dots), equal weights (dotted)',
        fontsize=9,
    )
    _draw_profiles(bottom, result)
    return figure


def _draw_profiles(figure: SubFigure, result: PatternWeights) -> None:
    """Draw mean weights, class by pattern, beside the cosines between patterns."""
    means, cosines = figure.subplots(1, 2, width_ratios=[1.5, 1])
    profiles = [rows.mean(0) for rows in result.weights.values()]
    image = means.imshow(
        np.stack([*profiles, result.all_weights]),
        aspect='auto',
        interpolation='nearest',
        cmap='viridis',
        vmin=0,
    )
    names = [*result.weights, f'all {result.num_queries} queries']
    means.set_yticks(range(len(names)), names)
    means.set(xlabel='pattern', title='mean weight')
    figure.colorbar(image, ax=means, fraction=0.04)
    image = cosines.imshow(result.cosine, cmap='RdBu_r', vmin=-1, vmax=1)
    title = 'cosine between patterns'
    if result.mean_abs_cosine is not None:
        title += f'\nmean absolute {result.mean_abs_cosine:.2f}'
    cosines.set(xlabel='pattern', ylabel='pattern')
    cosines.set_title(title)
    figure.colorbar(image, ax=cosines, fraction=0.046)
