"""What kinds of errors a detector makes, and how much AP each kind costs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ...records.schema import COUNT, NUMBER, SHARE, TEXT, fields, list_of
from ...records.tables import Table, percent
from ..detections.looks import DetectionsObserver
from ..trained_detector import TrainedModel
from .graded import grade_seen, observe

__all__ = ['SCHEMA', 'conclude', 'observe', 'tables']
BACKGROUND_IOU = 0.1
# In the order in which they are tried; `hotcoco`'s names.
TYPES = dict(
    Loc=('box', 'right class, IoU from {low:g} to {high:g}'),
    Cls=('class', 'another class than that of an object with IoU ≥ {high:g}'),
    Dupe=('duplicate', 'right class and box, but a surer detection has the object'),
    Bkg=('background', 'IoU ≤ {low:g} with every object'),
    Both=('class and box', 'another class, IoU from {low:g} to {high:g}'),
    Miss=('missed', 'object without a right detection, nor one of the first two'),
)
SCHEMA = fields(
    iou_threshold=SHARE,
    background_iou=SHARE,
    models=list_of(
        fields(
            name=TEXT,
            ap=SHARE,
            counts=fields(**dict.fromkeys(TYPES, COUNT)),
            ap_lost=fields(**dict.fromkeys(TYPES, NUMBER)),
        )
    ),
)


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[DetectionsObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure."""
    iou_threshold = observers[0].chosen['iou_threshold']
    rows = []
    for model, observer in zip(models, observers, strict=True):
        evaluation = grade_seen(observer).evaluation
        found = evaluation.tide_errors(iou_threshold, BACKGROUND_IOU)
        counts, lost = found['counts'], found['delta_ap']
        rows.append(
            dict(
                name=model.name,
                ap=found['ap_base'],
                counts={kind: int(counts[kind]) for kind in TYPES},
                ap_lost={kind: float(lost[kind]) for kind in TYPES},
            )
        )
    numbers = dict(
        iou_threshold=iou_threshold, background_iou=BACKGROUND_IOU, models=rows
    )
    return numbers, draw(numbers)


def tables(numbers: dict) -> list[Table]:
    """Tabulate count and cost of each kind, for each model."""
    ious = dict(low=numbers['background_iou'], high=numbers['iou_threshold'])
    models = numbers['models']
    columns = ['error', 'what it is']
    for model in models:
        columns += [f'{model["name"]}: number', 'AP lost, %']
    rows = []
    for kind, (title, what) in TYPES.items():
        row = [title, what.format(**ious)]
        for model in models:
            row += [str(model['counts'][kind]), percent(model['ap_lost'][kind])]
        rows.append(row)
    aps = ', '.join(f'{model["name"]} {percent(model["ap"])}' for model in models)
    caption = f'Errors at IoU {ious["high"]:g}; AP there, %: {aps}'
    note = (
        'A detector that reports many boxes with low scores has many on background, '
        'which cost little: go by the AP lost. The losses do not add up to 100 %.'
    )
    zero = 'A class whose every object was missed keeps AP 0 when misses are mended.'
    return [Table(caption, columns, rows, words=(0, 1), notes=[note, zero])]


def draw(numbers: dict) -> Figure:
    """Draw what each kind of error costs, a bar a model."""
    models = numbers['models']
    figure = Figure(figsize=(7.5, 1.6 + 0.42 * len(TYPES) * len(models) ** 0.5))
    figure.set_layout_engine('constrained')
    axes = figure.subplots()
    places, bar = np.arange(len(TYPES)), 0.8 / len(models)
    for number, model in enumerate(models):
        bars = axes.barh(
            places + (number - (len(models) - 1) / 2) * bar,
            [100 * model['ap_lost'][kind] for kind in TYPES],
            0.92 * bar,
            label=f'{model["name"]}: AP {percent(model["ap"])} %',
            hatch=('', '//', '..', 'xx')[number % 4],
            edgecolor='white',
            linewidth=0,
        )
        told = [f'{100 * model["ap_lost"][kind]:.1f}' for kind in TYPES]
        axes.bar_label(bars, told, padding=3, fontsize=8)
    axes.set_yticks(places, [title for title, _ in TYPES.values()])
    axes.invert_yaxis()
    axes.set_xlabel(f'AP lost at IoU {numbers["iou_threshold"]:g}, points')
    costs = [100 * model['ap_lost'][kind] for model in models for kind in TYPES]
    axes.set_xlim(min(0, 1.2 * min(costs)), max(1, 1.15 * max(costs)))
    axes.grid(axis='x', color='0.92')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc='lower right', bbox_to_anchor=(1, 1))
    return figure
