"""Loss and AP curves of training runs, from the logs that mmengine writes.

Called by ``tools/analysis/training_curves.py``. A work directory holds one
``<time>/vis_data/scalars.json`` a start; a resumed run is their union, where a later
start replaces what an earlier one had logged beyond the point of resuming.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import ConfigError

AP_NAMES = {
    'coco/bbox_mAP': 'AP',
    'coco/bbox_mAP_50': 'AP$_{50}$',
    'coco/bbox_mAP_75': 'AP$_{75}$',
}
# The last decoder layer's matching losses, which every mmdet DETR logs.
LOSS_NAMES = {
    'loss': 'total (all layers)',
    'loss_cls': 'class (last layer)',
    'loss_bbox': 'box L1 (last layer)',
    'loss_iou': 'box GIoU (last layer)',
}


@dataclass
class History:
    """What a run logged.

    Attributes:
        train: Records with a loss, ascending; `iter` is the number of iterations done.
        val: Validation records, ascending; `step` is the epoch (or the iteration, for
            runs counted in iterations).
        by_epoch: Whether `step` of the validation records counts epochs.
    """

    train: list[dict] = field(default_factory=list)
    val: list[dict] = field(default_factory=list)
    by_epoch: bool = True


def read_history(work_dir: Path) -> History:
    """Join the logs of all starts of the run in a work directory.

    Raises:
        ConfigError: There is no log with a loss in it.
    """
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for log in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        records = _read_records(log)
        losses = [record for record in records if 'loss' in record]
        if losses:
            # A resumed run counts iterations on, a fresh run from the start.
            first = losses[0]
            train = {n: r for n, r in train.items() if n < first['iter']}
            begin = first.get('epoch', first['iter'])
            val = {n: r for n, r in val.items() if n < begin}
        train |= {record['iter']: record for record in losses}
        val |= {
            record['step']: record
            for record in records
            if 'loss' not in record and any(name in record for name in AP_NAMES)
        }
    if not train:
        raise ConfigError(
            f'{work_dir} holds no training log (<time>/vis_data/scalars.json); give '
            'the --work-dir of a training run.'
        )
    by_epoch = any('epoch' in record for record in train.values())
    return History(
        [train[n] for n in sorted(train)], [val[n] for n in sorted(val)], by_epoch
    )


def _read_records(log: Path) -> list[dict]:
    """Read one JSON record a line; a last line cut off by a kill is left out."""
    records = []
    for line in log.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def draw_training_curves(histories: dict[str, History]) -> Figure:
    """Draw losses (left) and validation AP (right) of one run, or of several compared.

    One run is shown with the parts of its loss and AP, AP50, AP75; several runs with
    their total loss and AP only.

    Args:
        histories: Runs by the name for the legend, in drawing order.
    """
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    loss_axes, ap_axes = figure.subplots(1, 2)
    single = len(histories) == 1
    loss_names = LOSS_NAMES if single else {'loss': 'total'}
    ap_names = AP_NAMES if single else {'coco/bbox_mAP': 'AP'}
    for run, history in histories.items():
        for axes, names, records, step in (
            (loss_axes, loss_names, history.train, 'iter'),
            (ap_axes, ap_names, history.val, 'step'),
        ):
            for key, name in names.items():
                points = [(r[step], r[key]) for r in records if key in r]
                if points:
                    wide = 2.2 if key in ('loss', 'coco/bbox_mAP') else 1.4
                    marker = 'o' if axes is ap_axes else None
                    label = name if single else run
                    style = dict(linewidth=wide, marker=marker, markersize=4)
                    axes.plot(*zip(*points, strict=True), label=label, **style)
    by_epoch = all(history.by_epoch for history in histories.values())
    loss_axes.set(xlabel='iteration', ylabel='training loss')
    if single:
        # The total is some hundred times its smallest part.
        loss_axes.set_yscale('log')
        loss_axes.yaxis.set_major_formatter('{x:g}')
    ap_axes.set(
        xlabel='epoch' if by_epoch else 'iteration',
        ylabel='validation AP' if single else 'validation AP (IoU 0.50:0.95)',
        ylim=(0, None),
    )
    ap_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss_axes, ap_axes):
        axes.grid(color='0.92')
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    return figure
