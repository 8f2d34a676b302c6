"""From which score on a detection is worth having: precision, recall and F1."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...operating_points import OperatingPoint, OperatingPoints, best_thresholds
from ...records.schema import COUNT, SHARE, TEXT, fields, list_of, or_none, table_of
from ...records.tables import Table, percent
from ..detections.looks import DetectionsObserver
from ..trained_detector import TrainedModel
from .graded import Graded, grade_seen, observe

__all__ = ['SCHEMA', 'conclude', 'observe', 'points_of', 'tables']
LEGIBLE = 20  # rows of a table
COLOURS = colormaps['tab10'].colors
RECALLS = np.linspace(0, 1, 101)  # COCO's
THRESHOLDS = np.arange(101) / 100
_POINT = fields(threshold=SHARE, f1=SHARE, precision=SHARE, recall=SHARE, objects=COUNT)
_CURVES = fields(precision=or_none(list_of(SHARE)), f1=list_of(SHARE))
SCHEMA = fields(
    iou_threshold=SHARE,
    models=list_of(
        fields(
            name=TEXT,
            ann_file=TEXT,
            num_images=COUNT,
            overall=_POINT,
            classes=table_of(_POINT),
            overall_curves=_CURVES,
            curves=table_of(_CURVES),
        )
    ),
)


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[DetectionsObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure.

    Precision is at COCO's recalls (None: there is no such object), of all the mean over
    classes; F1 at each hundredth of the score, of all that of all detections.
    """
    numbers = dict(
        iou_threshold=observers[0].chosen['iou_threshold'],
        models=[
            _numbers(model, grade_seen(observer), len(observer.looks))
            for model, observer in zip(models, observers, strict=True)
        ],
    )
    return numbers, draw(numbers)


def _numbers(model: TrainedModel, graded: Graded, num_images: int) -> dict:
    scores, right, labels = graded.scores, graded.right, graded.labels
    overall, classes = best_thresholds(scores, right, labels, graded.objects)
    graded.evaluation.accumulate()
    precision = graded.evaluation.eval['precision'][0, :, :, 0, 0].T
    curves = {}
    for label, (name, count) in enumerate(graded.objects.items()):
        mine = labels == label
        curves[name] = dict(
            precision=precision[label].tolist() if count else None,
            f1=f1_at(THRESHOLDS, scores[mine], right[mine], count),
        )
    there = [np.array(c['precision']) for c in curves.values() if c['precision']]
    whole = dict(
        precision=np.mean(there, 0).tolist() if there else None,
        f1=f1_at(THRESHOLDS, scores, right, sum(graded.objects.values())),
    )
    ann_file = getattr(model.dataloader.dataset, 'ann_file', '')
    return dict(
        name=model.name,
        ann_file=Path(ann_file).name,
        num_images=num_images,
        overall=asdict(overall),
        classes={name: asdict(point) for name, point in classes.items()},
        overall_curves=whole,
        curves=curves,
    )


def f1_at(
    thresholds: np.ndarray, scores: np.ndarray, right: np.ndarray, objects: int
) -> list[float]:
    """Return F1 of the detections from each threshold on; 0 where there is nothing."""
    order = np.argsort(scores)
    wrong_or_right = len(scores) - np.searchsorted(scores[order], thresholds)
    hits = np.append(0, np.cumsum(right[order][::-1]))[wrong_or_right]
    return (2 * hits / np.maximum(wrong_or_right + objects, 1)).tolist()


def points_of(numbers: dict) -> OperatingPoints:
    """Return the operating points of the first model, for its checkpoint."""
    model = numbers['models'][0]
    return OperatingPoints(
        OperatingPoint(**model['overall']),
        {name: OperatingPoint(**point) for name, point in model['classes'].items()},
        model['ann_file'],
        model['num_images'],
        numbers['iou_threshold'],
    )


def weakest(model: dict, most: int) -> list[str]:
    """Return the classes of a model to show: all, or those with the lowest F1.

    Args:
        model: Its entry in what `SCHEMA` describes.
        most: How many may be shown; a class without objects only where all are.
    """
    classes = model['classes']
    if len(classes) <= most:
        return list(classes)
    there = [name for name, point in classes.items() if point['objects']]
    return sorted(there, key=lambda name: classes[name]['f1'])[:most]


def tables(numbers: dict) -> list[Table]:
    """Tabulate the best thresholds: of all classes together, then of each."""
    found = []
    for model in numbers['models']:
        shown = weakest(model, LEGIBLE)
        rows = [_row('all classes', model['overall'], model['overall_curves'])]
        rows += [
            _row(name, model['classes'][name], model['curves'][name]) for name in shown
        ]
        notes = []
        if len(shown) < len(model['classes']):
            notes = [
                f'{len(shown)} of {len(model["classes"])} classes, those with the '
                'lowest F1; the file of numbers has all.'
            ]
        caption = (
            f'{model["name"]}: thresholds with the best F1, found on '
            f'{model["num_images"]} images of {model["ann_file"] or "the data set"} at '
            f'IoU {numbers["iou_threshold"]:g}'
        )
        columns = 'class objects threshold F1,_% precision,_% recall,_% AP,_%'.split()
        columns = [column.replace('_', ' ') for column in columns]
        found.append(Table(caption, columns, rows, notes=notes))
    return found


def _row(name: str, point: dict, curves: dict) -> list[str]:
    shares = map(percent, (point['f1'], point['precision'], point['recall']))
    ap = percent(average(curves['precision']))
    return [name, str(point['objects']), f'{point["threshold"]:.3f}', *shares, ap]


def average(precision: Sequence[float] | None) -> float | None:
    """Return AP: the mean of the precision at COCO's recalls."""
    return None if precision is None else float(np.mean(precision))


def draw(numbers: dict) -> Figure:
    """Draw both curves of each model, one below the other."""
    models = numbers['models']
    figure = Figure(figsize=(10.5, 3.9 * len(models)), layout='constrained')
    grid = figure.subplots(len(models), 2, squeeze=False)
    for model, axes in zip(models, grid, strict=True):
        _draw_model(model, *axes)
        axes[0].set_title(
            f'{model["name"]}: IoU {numbers["iou_threshold"]:g}', loc='left'
        )
    return figure


def _draw_model(model: dict, left: Axes, right: Axes) -> None:
    named = weakest(model, len(COLOURS))
    if len(named) < len(model['classes']):
        named = named[:5]
        for name in model['classes'].keys() - named:
            _draw_class(left, right, model, name, dict(color='0.85', linewidth=0.8))
    for number, name in enumerate(named):
        dashes = ('-', '--', ':')[number % 3]
        style = dict(color=COLOURS[number], linewidth=1.3, linestyle=dashes)
        _draw_class(left, right, model, name, dict(style, label=name))
        point = model['classes'][name]
        if point['f1']:
            dot = dict(color=COLOURS[number], marker='o', markersize=4.5)
            left.plot(point['recall'], point['precision'], **dot)
            right.plot(point['threshold'], point['f1'], **dot)
    whole, best = model['overall_curves'], model['overall']
    style = dict(color='black', linewidth=2.4)
    if whole['precision'] is not None:
        ap = percent(average(whole['precision']))
        left.plot(RECALLS, whole['precision'], label=f'mean: AP {ap} %', **style)
    told_apart = right.plot(THRESHOLDS, whole['f1'], label='all detections', **style)
    if best['f1']:
        told = f'{best["threshold"]:.2f}: F1 {percent(best["f1"])} %'
        dot = dict(color='black', marker='D', markersize=7, linestyle='none')
        told_apart += right.plot(best['threshold'], best['f1'], label=told, **dot)
    left.set(xlabel='recall', ylabel='precision')
    right.set(xlabel='score threshold', ylabel='F1')
    for axes in (left, right):
        axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
        axes.grid(color='0.92')
        axes.spines[['top', 'right']].set_visible(False)
    beside = dict(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    # A class is in both halves, and named once.
    right.legend(handles=left.get_legend_handles_labels()[0] + told_apart, **beside)


def _draw_class(left: Axes, right: Axes, model: dict, name: str, style: dict) -> None:
    curves = model['curves'][name]
    if curves['precision'] is not None:
        left.plot(RECALLS, curves['precision'], **style)
        right.plot(THRESHOLDS, curves['f1'], **style)
