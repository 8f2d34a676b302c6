"""What a score says: how often a detection is right, and how good its box is."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmdet.models.losses import QualityFocalLoss, VarifocalLoss

from ...records.schema import COUNT, SHARE, TEXT, YES_NO, fields, list_of, or_none
from ...records.tables import Table, percent, plain
from ..detections.looks import DetectionsObserver
from ..trained_detector import TrainedModel
from .graded import Graded, grade_seen, observe

__all__ = ['SCHEMA', 'conclude', 'observe', 'tables']
BINS = 10
_MEAN = or_none(SHARE)
SCHEMA = fields(
    iou_threshold=SHARE,
    models=list_of(
        fields(
            name=TEXT,
            scores_are_ious=YES_NO,
            ece=_MEAN,
            bins=list_of(
                fields(
                    low=SHARE,
                    high=SHARE,
                    count=COUNT,
                    score=_MEAN,
                    right=_MEAN,
                    iou_of_right=_MEAN,
                    iou=_MEAN,
                )
            ),
        )
    ),
)


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[DetectionsObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes (None: no such detection), and the figure."""
    iou_threshold = observers[0].chosen['iou_threshold']
    rows = []
    for model, observer in zip(models, observers, strict=True):
        measured = calibrate(grade_seen(observer), iou_threshold)
        taught = teaches_iou(model)
        rows.append(dict(name=model.name, scores_are_ious=taught, **measured))
    numbers = dict(iou_threshold=iou_threshold, models=rows)
    return numbers, draw(numbers)


def teaches_iou(model: TrainedModel) -> bool:
    """Tell whether a detector's classification loss asks for the IoU as score."""
    loss = getattr(getattr(model.detector, 'bbox_head', None), 'loss_cls', None)
    return isinstance(loss, QualityFocalLoss | VarifocalLoss)


def calibrate(graded: Graded, iou_threshold: float) -> dict:
    """Return ECE and bins of a model's entry in what `SCHEMA` describes."""
    measured = graded.evaluation.calibration(BINS, iou_threshold)
    place = np.minimum((graded.scores * BINS).astype(int), BINS - 1)
    bins = []
    for number, one in enumerate(measured['bins']):
        ious = graded.ious[place == number]
        right = ious[~np.isnan(ious)]
        bins.append(
            dict(
                low=one['bin_lower'],
                high=one['bin_upper'],
                count=one['count'],
                score=_share(one['avg_confidence']) if one['count'] else None,
                right=_share(one['avg_accuracy']) if one['count'] else None,
                iou_of_right=_share(right.mean()) if len(right) else None,
                iou=_share(np.nan_to_num(ious).mean()) if len(ious) else None,
            )
        )
    ece = _share(measured['ece']) if len(graded.scores) else None
    return dict(ece=ece, bins=bins)


def _share(value: float) -> float:
    """Return a plain number; a mean of ones may exceed 1 by rounding."""
    return min(float(value), 1.0)


def tables(numbers: dict) -> list[Table]:
    """Tabulate the ECE of each model, then its bins."""
    rows = [
        [model['name'], plain(model['ece'], 3), _meaning(model)]
        for model in numbers['models']
    ]
    columns = ('model', 'ECE', 'what its loss taught the score')
    found = [Table('Calibration', columns, rows, words=(0, 2))]
    columns = (
        *('score', 'detections', 'mean score', 'right, %'),
        *('mean IoU of right ones', 'of all (wrong: 0)'),
    )
    for model in numbers['models']:
        rows = [
            [
                f'{one["low"]:.1f} to {one["high"]:.1f}',
                str(one['count']),
                plain(one['score'], 3),
                percent(one['right']),
                plain(one['iou_of_right'], 3),
                plain(one['iou'], 3),
            ]
            for one in model['bins']
        ]
        caption = f'{model["name"]}: detections by score'
        found.append(Table(caption, columns, rows))
    return found


def _meaning(model: dict) -> str:
    return 'IoU with the object' if model['scores_are_ious'] else 'chance of the class'


def draw(numbers: dict) -> Figure:
    """Draw reliability, and the number of detections below it."""
    models = numbers['models']
    figure = Figure(figsize=(0.8 + 4.2 * len(models), 4.9), layout='constrained')
    heights = dict(height_ratios=[3, 1])
    grid = figure.subplots(
        2, len(models), squeeze=False, sharex=True, gridspec_kw=heights
    )
    for number, model in enumerate(models):
        _draw_model(model, *grid[:, number])
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(),
        loc='outside lower center',
        frameon=False,
        fontsize=8,
        ncols=2,
    )
    return figure


def _draw_model(model: dict, upper: Axes, lower: Axes) -> None:
    bins = [one for one in model['bins'] if one['count']]
    edges = [one['low'] for one in model['bins']] + [1.0]
    upper.plot([0, 1], [0, 1], color='0.5', linestyle=':', label='as the score says')
    lines = dict(
        right=('share of right ones', dict(color='C0', marker='o')),
        iou_of_right=('mean IoU of right ones', dict(color='C1', marker='s', ls='--')),
        iou=('mean IoU of all (wrong ones: 0)', dict(color='C2', marker='^', ls='-.')),
    )
    for key, (label, style) in lines.items():
        there = [one for one in bins if one[key] is not None]
        places = [one['score'] for one in there]
        upper.plot(places, [one[key] for one in there], label=label, **style)
    upper.set_title(
        f'{model["name"]}: ECE {plain(model["ece"], 3)}\ntaught: {_meaning(model)}',
        size=10,
    )
    upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel='share or IoU')
    lower.stairs([one['count'] for one in model['bins']], edges, fill=True, color='0.6')
    top = None if bins else 1
    lower.set(yscale='symlog', ylabel='detections', xlabel='score', ylim=(0, top))
    for axes in (upper, lower):
        axes.grid(color='0.92')
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
