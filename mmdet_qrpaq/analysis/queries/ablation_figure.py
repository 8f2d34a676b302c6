"""The figure of `ablation`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

LABELS = dict(
    self_attn='self-attention\nonly', cross_attn='cross-attention\nonly', both='both'
)


def draw(numbers: dict) -> Figure:
    """Draw AP by sub-layers (Fig. 2a) beside AP by number of queries kept (Fig. 2b).

    Args:
        numbers: See `ablation.SCHEMA`.
    """
    models = numbers['models']
    figure = Figure(figsize=(9.4, 3.7), layout='constrained')
    bars, curves = figure.subplots(1, 2, width_ratios=[1, 1.25])
    places = np.arange(len(LABELS))
    width = 0.8 / len(models)
    for number, model in enumerate(models):
        style = dict(color=f'C{number}', label=model['name'])
        values = [100 * model['sublayers'][kept]['ap'] for kept in LABELS]
        shift = (number - (len(models) - 1) / 2) * width
        drawn = bars.bar(places + shift, values, 0.92 * width, **style)
        bars.bar_label(drawn, fmt='%.1f', fontsize=7, padding=1)
        rows = model['fewer_queries']
        kept = [row['num_queries'] for row in rows]
        for key, line in (('ap', 'o-'), ('ap50', '.:')):
            values = [100 * row['precision'][key] for row in rows]
            curves.plot(kept, values, line, **style)
            style['label'] = None
        if rows := model['capacity']:
            values = [100 * row['precision']['ap'] for row in rows]
            style['label'] = f'{model["name"]}: so many may enter a layer'
            curves.plot([row['capacity'] for row in rows], values, 's--', **style)
    bars.set_xticks(places, LABELS.values())
    bars.set(ylabel='AP (%)', title='attention left on in the decoder')
    curves.set(xlabel=_kept_queries(models), ylabel='AP, dotted AP50 (%)')
    curves.set_title('queries left, both attentions')
    curves.set_ylim(bottom=0)
    for axes in (bars, curves):
        axes.margins(y=0.08)
        axes.spines[['top', 'right']].set_visible(False)
    curves.legend(frameon=False, fontsize=8, loc='lower right')
    images = sorted({model['num_images'] for model in models})
    figure.suptitle(
        f'trained models, not retrained; {" or ".join(map(str, images))} images',
        fontsize=9,
    )
    return figure


def _kept_queries(models: Sequence[dict]) -> str:
    """Tell which queries are kept."""
    if models[0]['keep'] == 'used':
        return 'queries kept: those matched most often'
    which = {True: 'best proposals', False: 'first learned ones'}
    staged = {which[model['two_stage']] for model in models}
    return f'queries kept: {" or ".join(sorted(staged))}'
