"""Which patterns make the queries that find something (PaQ-DETR Fig. 5).

Only models with patterns have the weights W^D (Eq. 5). Rows are those of successful
detections, as in the paper; see `section.WEIGHTS`. *Effective patterns* are 1 for a
single pattern, m for m equal ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure, SubFigure
from torch import Tensor, nn

from ...errors import ConfigError
from ...records.schema import COUNT, NUMBER, SHARE, TEXT, fields, list_of, or_none
from ...records.tables import Table, plain
from ..matching import confident_and_correct, require_matching
from ..one_pass import SeenBatch
from ..trained_detector import TrainedModel
from .capture import effective_patterns, require_patterns

NUM_SHOWN = 4  # classes, where none are chosen
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


class WeightsObserver:
    """Collects rows of W^D of successful detections.

    Args:
        classes: Names of those that count; None are the four most often found.
        thresholds: Least score and IoU of a successful detection, in [0, 1].
    """

    images = None

    def __init__(
        self, classes: Sequence[str] | None, thresholds: dict[str, float]
    ) -> None:
        self._chosen, self.thresholds = classes, thresholds
        self._rows: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._total: Tensor | int = 0
        self._effective: Tensor | int = 0
        self.num_images = self.num_queries = 0

    def see(self, batch: SeenBatch) -> None:
        """Collect the rows of a batch."""
        weights = batch.heard.weights
        good = confident_and_correct(batch.matched, **self.thresholds)
        self._rows.append(weights[good].cpu())
        self._labels.append(batch.matched.labels[good].cpu())
        self._total = self._total + weights.sum((0, 1))
        self._effective = self._effective + effective_patterns(weights).sum()
        self.num_images += len(weights)
        self.num_queries = weights.shape[1]

    def rows_of(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return rows of W^D by class, (number of detections, num_patterns) each.

        Args:
            names: Of all classes, by label.

        Raises:
            ConfigError: A class is never found.
        """
        rows, labels = torch.cat(self._rows).numpy(), torch.cat(self._labels).numpy()
        counts = np.bincount(labels, minlength=len(names))
        least = 'score >= {:g}, IoU >= {:g}'.format(*self.thresholds.values())
        if not counts.any():
            raise ConfigError(
                f'nothing is detected successfully ({least}) in {self.num_images} '
                'images; lower the thresholds.'
            )
        chosen = self._chosen
        if chosen is None:
            order = np.argsort(-counts, kind='stable')[:NUM_SHOWN]
            chosen = [names[label] for label in order if counts[label]]
        for name in chosen:
            if not counts[names.index(name)]:
                raise ConfigError(
                    f'class {name!r} is never detected successfully ({least}) in '
                    f'{self.num_images} images; choose another or lower the thresholds.'
                )
        return {name: rows[labels == names.index(name)] for name in chosen}

    def all_queries(self) -> dict:
        """Return means over all queries and images."""
        number = self.num_images * self.num_queries
        return dict(
            mean_weights=(self._total / number).tolist(),
            effective_patterns=float(self._effective) / number,
        )


def observe(
    models: Sequence[TrainedModel],
    classes: Sequence[str] | None,
    score_threshold: float,
    iou_threshold: float,
) -> list[WeightsObserver]:
    """Return an observer that collects rows of W^D.

    Args:
        models: One.
        classes: Names of those to show; None are the four most often found.

    Raises:
        ConfigError: The model has no patterns or no assigner, or a class is unknown.
    """
    (model,) = models
    require_patterns(model.detector)
    require_matching(model.detector, 'collecting weights')
    names = model.classes
    if unknown := [name for name in classes or () if name not in names]:
        raise ConfigError(
            f'there is no class {unknown[0]!r}; the data set has {", ".join(names)}.'
        )
    thresholds = dict(score_threshold=score_threshold, iou_threshold=iou_threshold)
    return [WeightsObserver(classes, thresholds)]


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[WeightsObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure.

    Raises:
        ConfigError: A class is never found.
    """
    (model,), (observer,) = models, observers
    rows = observer.rows_of(model.classes)
    patterns = require_patterns(model.detector).patterns.weight.detach()
    patterns = nn.functional.normalize(patterns, dim=1)
    numbers = describe(
        rows,
        (patterns @ patterns.T).cpu().numpy(),
        num_images=observer.num_images,
        num_queries=observer.num_queries,
        all_queries=observer.all_queries(),
        **observer.thresholds,
    )
    return numbers, draw(numbers, rows)


def describe(rows: dict[str, np.ndarray], cosine: np.ndarray, **seen: Any) -> dict:
    """Return what `SCHEMA` describes.

    Args:
        rows: Of W^D by class, (number of detections, num_patterns) each.
        cosine: Between the patterns Q^P, (num_patterns, num_patterns).
        seen: What is known without either.
    """
    means = np.stack([weights.mean(0) for weights in rows.values()])
    # The sum over the patterns of the smaller mean weight: 1 for equal profiles, 0 if
    # no pattern serves both.
    overlap = np.minimum(means[:, None], means[None]).sum(-1).clip(0, 1)
    # Over pairs of different patterns (Eq. 8).
    pairs = np.abs(cosine[~np.eye(len(cosine), dtype=bool)])
    return dict(
        num_patterns=len(cosine),
        mean_abs_cosine=min(1.0, float(pairs.mean())) if pairs.size else None,
        cosine=cosine.tolist(),
        classes=[
            dict(
                name=name,
                num_detections=len(weights),
                effective_patterns=float(effective_patterns(weights).mean()),
                mean_weights=weights.mean(0).tolist(),
                std_weights=weights.std(0).tolist(),
            )
            for name, weights in rows.items()
        ],
        overlap=overlap.tolist(),
        **seen,
    )


def tables(numbers: dict) -> list[Table]:
    """Tabulate the effective patterns, a row a class, then all queries."""
    columns = ('class', 'detections', 'effective patterns', 'heaviest patterns')
    everything = dict(numbers['all_queries'], name='all queries', num_detections='–')
    rows = []
    for row in (*numbers['classes'], everything):
        mean = row['mean_weights']
        heaviest = sorted(range(len(mean)), key=lambda i: -mean[i])[:3]
        rows.append(
            [
                row['name'],
                str(row['num_detections']),
                plain(row['effective_patterns']),
                ', '.join(f'{i} ({mean[i]:.2f})' for i in heaviest),
            ]
        )
    caption = (
        f'W^D of {numbers["num_patterns"]} patterns over {numbers["num_images"]} '
        f'images; mean absolute cosine {plain(numbers["mean_abs_cosine"])}'
    )
    return [Table(caption, columns, rows)]


def draw(numbers: dict, weights: dict[str, np.ndarray]) -> Figure:
    """Draw each class's rows of W^D and their spread; below, profiles and cosines.

    Args:
        numbers: See `SCHEMA`.
        weights: Rows of W^D by class, (number of detections, num_patterns) each.
    """
    num_patterns = numbers['num_patterns']
    num_rows = len(numbers['classes'])
    figure = Figure(figsize=(10, 1.7 * num_rows + 3.9), layout='constrained')
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.7 * num_rows, 3.6])
    panels = top.subplots(num_rows, 2, squeeze=False, sharex='col')
    patterns = np.arange(num_patterns)
    highest = max(rows.max() for rows in weights.values())
    for (left, right), row in zip(panels, numbers['classes'], strict=True):
        rows = weights[row['name']]
        image = left.imshow(
            rows[np.argsort(rows.argmax(1), kind='stable')],
            aspect='auto',
            interpolation='nearest',
            cmap='magma',
            vmin=0,
            vmax=highest,
        )
        left.set_ylabel(f'class {row["name"]}\n{len(rows)} detections')
        left.set_yticks([])
        low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
        right.bar(patterns, high - low, 0.8, bottom=low, color='#c6dbef')
        right.hlines(middle, patterns - 0.4, patterns + 0.4, color='#08519c')
        right.plot(patterns, rows.mean(0), '.', color='#d94801', markersize=4)
        right.axhline(1 / num_patterns, color='0.5', linestyle=':', linewidth=1)
        title = f'{row["effective_patterns"]:.1f} effective patterns'
        right.set_title(title, fontsize=9, pad=3)
        right.set_ylim(0, 1.05 * highest)
        right.spines[['top', 'right']].set_visible(False)
    top.colorbar(image, ax=list(panels[:, 0]), label='weight', fraction=0.04)
    panels[0, 0].set_title('weights of successful detections', fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel('pattern')
    for axes in panels[:, 1]:
        axes.set_ylabel('weight')
    top.suptitle(
        f'W$^D$ over {numbers["num_images"]} images, score ≥ '
        f'{numbers["score_threshold"]:g}, IoU ≥ {numbers["iou_threshold"]:g}; right: '
        'median, 5-95 %, mean (dots), equal weights (dotted)',
        fontsize=9,
    )
    _draw_profiles(bottom, numbers)
    return figure


def _draw_profiles(figure: SubFigure, numbers: dict) -> None:
    """Draw mean weights, class by pattern, beside the cosines between patterns."""
    means, cosines = figure.subplots(1, 2, width_ratios=[1.5, 1])
    profiles = [*numbers['classes'], numbers['all_queries']]
    image = means.imshow(
        [row['mean_weights'] for row in profiles],
        aspect='auto',
        interpolation='nearest',
        cmap='viridis',
        vmin=0,
    )
    names = [row['name'] for row in numbers['classes']]
    names.append(f'all {numbers["num_queries"]} queries')
    means.set_yticks(range(len(names)), names)
    means.set(xlabel='pattern', title='mean weight')
    figure.colorbar(image, ax=means, fraction=0.04)
    image = cosines.imshow(numbers['cosine'], cmap='RdBu_r', vmin=-1, vmax=1)
    title = 'cosine between patterns'
    if numbers['mean_abs_cosine'] is not None:
        title += f'\nmean absolute {numbers["mean_abs_cosine"]:.2f}'
    cosines.set(xlabel='pattern', ylabel='pattern')
    cosines.set_title(title)
    figure.colorbar(image, ax=cosines, fraction=0.046)
