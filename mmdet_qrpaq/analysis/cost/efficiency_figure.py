"""Draws what detectors cost: size, work and memory, and time stage by stage."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from .timing import STAGES

COLOURS = colormaps['tab10'].colors
MODEL_COLOUR = '#6baed6'


def draw(numbers: dict) -> Figure:
    """Draw bars for each model, labelled with the ratio to the first one.

    Above: parameters, work and memory. Below: median time by stage, a panel for each
    batch size.

    Args:
        numbers: See `efficiency.SCHEMA`.
    """
    models = numbers['models']
    count = len(models[0]['batches'])
    row = 0.42 * len(models) + 0.75
    figure = Figure(figsize=(9, row * (1 + count) + 1.5), layout='constrained')
    above, below = figure.subfigures(2, 1, height_ratios=[1, count + 0.3])
    _draw_sizes(above, models)
    panels = below.subplots(count, 1, squeeze=False, sharey=True)[:, 0]
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
    figure.suptitle(_describe(numbers['protocol']), fontsize=9)
    return figure


def _describe(protocol: dict) -> str:
    """Return the protocol in two lines."""
    heights = [image['height'] for image in protocol['pictures']]
    widths = [image['width'] for image in protocol['pictures']]

    def extent(values: Sequence[int]) -> str:
        low, high = min(values), max(values)
        return f'{low}' if low == high else f'{low}-{high}'

    return (
        f'{len(heights)} images of {extent(heights)} x {extent(widths)} pixels, '
        f'{protocol["dtype"]}; {protocol["repeats"]} repetitions, models interleaved\n'
        f'{protocol["hardware"]} ({protocol["device"]}), '
        f'threads: {protocol["threads"]}; in brackets: times the first model'
    )


def _draw_sizes(figure: SubFigure, models: Sequence[dict]) -> None:
    """Draw parameters, work with its spread over the images, memory."""
    sizes = [batch['batch_size'] for batch in models[0]['batches']]
    largest = int(np.argmax(sizes))
    flops = [model['flops'] for model in models]
    peaks = [model['batches'][largest]['peak_bytes'] for model in models]
    ratios = [model['ratios'] for model in models]
    params = [model['params'] / 1e6 for model in models]
    means, spreads = ([work[key] / 1e9 for work in flops] for key in ('mean', 'std'))
    memory = [peak / 1e6 for peak in peaks]
    held = f'memory beside weights\n(MB), batch {sizes[largest]}'
    drawn = (
        ('parameters (M)', params, None, [ratio['params'] for ratio in ratios]),
        (
            'GFLOPs,\nmean ± std over images',
            *(means, spreads),
            [ratio['flops'] for ratio in ratios],
        ),
        (held, memory, None, [r['batches'][largest]['peak_bytes'] for r in ratios]),
    )
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (label, values, spread, relative) in zip(panels, drawn, strict=True):
        rows = np.arange(len(values))
        axes.barh(rows, values, 0.6, xerr=spread, color=MODEL_COLOUR, capsize=3)
        ends = np.add(values, spread or 0)
        for place, end, value, ratio in zip(rows, ends, values, relative, strict=True):
            text = f' {value:.4g}' + ('' if ratio is None else f' ({ratio:.3f})')
            axes.text(end, place, text, va='center', fontsize=8)
        axes.set(xlabel=label, xlim=(0, 1.6 * max(*ends, 1e-9)))
        _name_rows(axes, models)


def _draw_stages(axes: Axes, models: Sequence[dict], index: int) -> None:
    """Draw the median of each stage, one after another; p50 and p95 of the whole."""
    ends, labelled = [], set()
    for place, model in enumerate(models):
        batch, left = model['batches'][index], 0.0
        for stage, seconds in batch['stages'].items():
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
        text = f' p50 {1000 * batch["p50"]:.4g}, p95 {1000 * batch["p95"]:.4g}'
        if place > 0:
            ratio = model['ratios']['batches'][index]['seconds']
            low, high = ratio['quartiles']
            text += f' ({ratio["median"]:.3f}, quartiles {low:.3f}-{high:.3f})'
        axes.text(left, place, text, va='center', fontsize=8)
        ends.append(left)
    size = models[0]['batches'][index]['batch_size']
    axes.set(
        xlabel=f'milliseconds for a batch of {size}, median of each stage',
        xlim=(0, 1.75 * max(ends)),
    )
    _name_rows(axes, models)


def _name_rows(axes: Axes, models: Sequence[dict]) -> None:
    axes.set_yticks(np.arange(len(models)), [model['name'] for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.spines[['top', 'right']].set_visible(False)
