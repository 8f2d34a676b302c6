"""Draws what detectors cost: size, work and memory, and time stage by stage."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .efficiency_result import Efficiency, ModelCost
from .timing import STAGES

COLOURS = colormaps['tab10'].colors
MODEL_COLOUR = '#6baed6'


def draw_efficiency(result: Efficiency) -> Figure:
    """Draw bars for each model, labelled with the ratio to the first one.

    Above: parameters, work and memory. Below: median time by stage, a panel for each
    batch size.
    """
    models, sizes = result.models, [b.batch_size for b in result.models[0].batches]
    row = 0.42 * len(models) + 0.75
    figure = Figure(figsize=(9, row * (1 + len(sizes)) + 1.5), layout='constrained')
    above, below = figure.subfigures(2, 1, height_ratios=[1, len(sizes) + 0.3])
    _draw_sizes(above, result)
    panels = below.subplots(len(sizes), 1, squeeze=False, sharey=True)[:, 0]
    for index, axes in enumerate(panels):
        _draw_stages(axes, models, index)
    handles = {}
    for axes in panels:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    handles = {name: handles[name] for name in STAGES if name in handles}
    below.legend(
        handles.values(),
        handles,
        loc='outside lower center',
        ncols=5,
        frameon=False,
        fontsize=8,
    )
    figure.suptitle(_describe(result), fontsize=9)
    return figure


def _describe(result: Efficiency) -> str:
    """Protocol in two lines."""
    protocol = result.protocol
    heights = [picture['height'] for picture in protocol['pictures']]
    widths = [picture['width'] for picture in protocol['pictures']]

    def extent(values: Sequence[int]) -> str:
        low, high = min(values), max(values)
        return f'{low}' if low == high else f'{low}-{high}'

    return (
        f'{len(heights)} pictures of {extent(heights)} x {extent(widths)} pixels, '
        f'{protocol["dtype"]}; {protocol["repeats"]} repetitions, models interleaved\n'
        f'{protocol["hardware"]} ({protocol["device"]}), '
        f'threads: {protocol["threads"]}; in brackets: times the first model'
    )


def _draw_sizes(figure: Figure, result: Efficiency) -> None:
    """Parameters, work with its spread over the pictures, memory."""
    base = result.models[0]
    ratios = [model.ratios(base) for model in result.models]
    largest = max(range(len(base.batches)), key=lambda i: base.batches[i].batch_size)
    peaks = [model.batches[largest].peak_bytes for model in result.models]
    panels = figure.subplots(1, 3, sharey=True)
    flops = [model.flops for model in result.models]
    for axes, label, values, spread, relative in (
        (
            panels[0],
            'parameters (M)',
            [model.counted[0].total_params / 1e6 for model in result.models],
            None,
            [ratio['params'] for ratio in ratios],
        ),
        (
            panels[1],
            'GFLOPs, mean ± std over pictures',
            [work['mean'] / 1e9 for work in flops],
            [work['std'] / 1e9 for work in flops],
            [ratio['flops'] for ratio in ratios],
        ),
        (
            panels[2],
            f'memory beside weights (MB), batch {base.batches[largest].batch_size}',
            [peak / 1e6 for peak in peaks],
            None,
            [ratio['batches'][largest]['peak_bytes'] for ratio in ratios],
        ),
    ):
        rows = np.arange(len(values))
        axes.barh(rows, values, 0.6, xerr=spread, color=MODEL_COLOUR, capsize=3)
        ends = np.add(values, spread or 0)
        for place, end, value, ratio in zip(rows, ends, values, relative, strict=True):
            text = f' {value:.4g}' + ('' if ratio is None else f' ({ratio:.3f})')
            axes.text(end, place, text, va='center', fontsize=8)
        axes.set(xlabel=label, xlim=(0, 1.6 * max(*ends, 1e-9)))
        _name_rows(axes, result.models)


def _draw_stages(axes: Axes, models: Sequence[ModelCost], index: int) -> None:
    """Median of each stage, one after another; p50 and p95 of the whole."""
    ends, labelled = [], set()
    for place, model in enumerate(models):
        batch, left = model.batches[index], 0.0
        for stage, seconds in batch.stage_medians.items():
            axes.barh(
                place,
                1000 * seconds,
                0.6,
                left=left,
                color=COLOURS[STAGES.index(stage)],
                label=None if stage in labelled else stage,
            )
            labelled.add(stage)
            left += 1000 * seconds
        numbers, ratio = batch.as_dict(), model.ratios(models[0])['batches'][index]
        text = f' p50 {1000 * numbers["p50"]:.4g}, p95 {1000 * numbers["p95"]:.4g}'
        if place > 0:
            low, high = ratio['seconds']['quartiles']
            text += (
                f' ({ratio["seconds"]["median"]:.3f}, quartiles {low:.3f}-{high:.3f})'
            )
        axes.text(left, place, text, va='center', fontsize=8)
        ends.append(left)
    axes.set(
        xlabel=f'milliseconds for a batch of {models[0].batches[index].batch_size}, '
        'median of each stage',
        xlim=(0, 1.75 * max(ends)),
    )
    _name_rows(axes, models)


def _name_rows(axes: Axes, models: Sequence[ModelCost]) -> None:
    axes.set_yticks(np.arange(len(models)), [model.name for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.spines[['top', 'right']].set_visible(False)
