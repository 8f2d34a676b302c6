"""Loss and AP curves of training runs, from the logs that mmengine writes.

Runs of one name are repetitions of one thing, with other seeds: they are drawn as their
mean and range (PaQ-DETR Fig. 4 compares such curves).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...errors import ConfigError
from ...records.schema import COUNT, NUMBER, TEXT, fields, list_of, or_none
from ...records.tables import Table, percent
from ..subjects import Run, logs_of
from .history import AP, RECORDED, History, curve, not_finite, read_history

AP_LABELS = dict(zip(RECORDED.values(), ('AP', 'AP$_{50}$', 'AP$_{75}$'), strict=True))
# The last decoder layer's matching losses, which every mmdet DETR logs.
LOSS_NAMES = {
    'loss': 'total (all layers)',
    'loss_cls': 'class (last layer)',
    'loss_bbox': 'box L1 (last layer)',
    'loss_iou': 'box GIoU (last layer)',
}
# Validations that a table shows: more make it too wide.
MOST_STEPS = 10

_CURVE = fields(step=list_of(COUNT), value=list_of(NUMBER))
SCHEMA = fields(
    step_of_ap={'enum': ['epoch', 'iteration']},
    without_log=list_of(TEXT),
    runs=list_of(
        fields(
            name=TEXT,
            work_dir=TEXT,
            not_finite=COUNT,
            loss=_CURVE,
            AP=_CURVE,
            AP50=_CURVE,
            AP75=_CURVE,
        )
    ),
    groups=list_of(
        fields(
            name=TEXT,
            num_runs=COUNT,
            AP=fields(
                step=list_of(COUNT),
                mean=list_of(NUMBER),
                low=list_of(NUMBER),
                high=list_of(NUMBER),
            ),
            best_AP=or_none(NUMBER),
        )
    ),
)


def mean_and_range(curves: Sequence[dict[str, list]]) -> dict[str, list]:
    """Return `step`, and `mean`, `low` and `high` of several runs' curves.

    Only steps that all of them have: a mean over fewer runs would jump.
    """
    tables = [dict(zip(c['step'], c['value'], strict=True)) for c in curves]
    steps = sorted(set.intersection(*map(set, tables)))
    values = np.array([[table[step] for step in steps] for table in tables], float)
    values = values.reshape(len(tables), len(steps))
    found = dict(mean=values.mean(0), low=values.min(0), high=values.max(0))
    return dict(step=steps, **{key: row.tolist() for key, row in found.items()})


def group(runs: Sequence[tuple[str, History]]) -> dict[str, list[History]]:
    """Collect the runs of each name, in order of appearance."""
    groups = defaultdict(list)
    for name, history in runs:
        groups[name].append(history)
    return dict(groups)


def counts_epochs(runs: Sequence[tuple[str, History]]) -> bool:
    """Tell whether the runs' AP is logged by epoch.

    Raises:
        ConfigError: By epoch in some, by iteration in others: they have no common axis.
    """
    kinds = {history.by_epoch for _, history in runs}
    if len(kinds) > 1:
        raise ConfigError(
            'some of these runs count epochs and others iterations, so their AP curves '
            'have no common axis; draw them apart.'
        )
    return kinds.pop()


def measure(runs: Sequence[Run]) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure.

    Raises:
        ConfigError: None has a log, or see `counts_epochs`.
    """
    logged = [run for run in runs if logs_of(run.work_dir)]
    if not logged:
        raise ConfigError(
            'there is no training log (<time>/vis_data/scalars.json) beside the '
            'checkpoints.'
        )
    histories = [(run.name, read_history(run.work_dir)) for run in logged]
    without_log = [run.name for run in runs if run not in logged]
    numbers = describe(histories, [run.work_dir for run in logged], without_log)
    return numbers, draw_training_curves(histories)


def describe(
    runs: Sequence[tuple[str, History]],
    work_dirs: Sequence[Path],
    without_log: Sequence[str] = (),
) -> dict:
    """Return what `SCHEMA` describes.

    Args:
        runs: Name and what was logged.
        work_dirs: Where.
        without_log: Names of those that are left out.
    """
    rows = [
        dict(
            name=name,
            work_dir=str(work_dir),
            not_finite=not_finite(history),
            loss=curve(history.train, 'iter', 'loss'),
            **{
                short: curve(history.val, 'step', key)
                for short, key in RECORDED.items()
            },
        )
        for (name, history), work_dir in zip(runs, work_dirs, strict=True)
    ]
    groups = []
    for name, members in group(runs).items():
        ap = mean_and_range([curve(h.val, 'step', AP) for h in members])
        best = max(ap['mean'], default=None)
        groups.append(dict(name=name, num_runs=len(members), AP=ap, best_AP=best))
    step_of_ap = 'epoch' if counts_epochs(runs) else 'iteration'
    return dict(
        step_of_ap=step_of_ap,
        without_log=list(without_log),
        runs=rows,
        groups=groups,
    )


def tables(numbers: dict) -> list[Table]:
    """Tabulate AP by epoch, a row a name."""
    groups, unit = numbers['groups'], numbers['step_of_ap']
    steps = sorted({step for row in groups for step in row['AP']['step']})
    # Counted from the end, so that the last validation is among them.
    every = -(-len(steps) // MOST_STEPS) or 1
    steps = steps[::-1][::every][::-1]
    rows = []
    for row in groups:
        values = dict(zip(row['AP']['step'], row['AP']['mean'], strict=True))
        shown = [*(values.get(step) for step in steps), row['best_AP']]
        rows.append([row['name'], str(row['num_runs']), *map(percent, shown)])
    caption = f'Validation AP, %, by {unit}; mean of the runs of a name'
    columns = ['name', 'runs', *map(str, steps), 'best']
    notes = [
        f'{run["name"]} ({run["work_dir"]}): {run["not_finite"]} logged losses are '
        'not finite, so the run has diverged.'
        for run in numbers['runs']
        if run['not_finite']
    ]
    notes += [
        f'{name}: left out, there is no training log beside its checkpoint.'
        for name in numbers['without_log']
    ]
    return [Table(caption, columns, rows, notes=notes)]


def draw_training_curves(runs: Sequence[tuple[str, History]]) -> Figure:
    """Draw losses (left) and validation AP (right) of one run, or of several compared.

    One run is shown with the parts of its loss and AP, AP50, AP75; several with their
    total loss and AP only, those of one name as mean and range.

    Args:
        runs: Name for the legend, and what was logged, in drawing order.

    Raises:
        ConfigError: See `counts_epochs`.
    """
    by_epoch = counts_epochs(runs)
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    loss_axes, ap_axes = figure.subplots(1, 2)
    single = len(runs) == 1
    if single:
        _draw_one(loss_axes, ap_axes, runs[0][1])
    else:
        for number, (name, members) in enumerate(group(runs).items()):
            label = name if len(members) == 1 else f'{name} ({len(members)} runs)'
            style = dict(
                color=f'C{number}', linestyle=('-', '--', '-.', ':')[number % 4]
            )
            losses = [curve(h.train, 'iter', 'loss') for h in members]
            _draw_group(loss_axes, losses, label, **style)
            aps = [curve(h.val, 'step', AP) for h in members]
            _draw_group(ap_axes, aps, label, marker='o', markersize=4, **style)
    loss_axes.set(xlabel='iteration', ylabel='training loss')
    ap_axes.set(
        xlabel='epoch' if by_epoch else 'iteration',
        ylabel='validation AP' if single else 'validation AP (IoU 0.50:0.95)',
        ylim=(0, None),
    )
    if diverged := dict.fromkeys(name for name, run in runs if not_finite(run)):
        loss_axes.set_title(f'not finite at times: {", ".join(diverged)}', fontsize=9)
    ap_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if max(map(len, group(runs).values())) > 1:
        ap_axes.set_title('mean of the runs of a name; shaded: range', fontsize=9)
    for axes in (loss_axes, ap_axes):
        axes.grid(color='0.92')
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
        if axes.lines:
            # Above: losses fill the panel; a title leaves no room there.
            above = dict(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=2)
            place = {} if axes.get_title() else above
            axes.legend(frameon=False, fontsize=8, **place)
    return figure


def _draw_one(loss_axes: Axes, ap_axes: Axes, history: History) -> None:
    for axes, names, records, step, marker in (
        (loss_axes, LOSS_NAMES, history.train, 'iter', None),
        (ap_axes, AP_LABELS, history.val, 'step', 'o'),
    ):
        for key, name in names.items():
            points = curve(records, step, key)
            if points['step']:
                wide = 2.2 if key in ('loss', AP) else 1.4
                style = dict(linewidth=wide, marker=marker, markersize=4)
                axes.plot(*points.values(), label=name, **style)
    # The total is some hundred times its smallest part.
    loss_axes.set_yscale('log')
    loss_axes.yaxis.set_major_formatter('{x:g}')


def _draw_group(
    axes: Axes, curves: Sequence[dict], label: str, **style: str | int
) -> None:
    steps, mean, low, high = mean_and_range(curves).values()
    if steps:
        axes.plot(steps, mean, label=label, linewidth=2.2, **style)
        if len(curves) > 1:
            colour = style['color']
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
