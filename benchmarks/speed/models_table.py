"""Table and figure of what `models.py` measured."""

import numpy as np
from matplotlib.figure import Figure

from mmdet_qrpaq.analysis.cost.timing import STAGES, summary
from mmdet_qrpaq.records.tables import markdown

MODES = dict(predict='predicting', train='training step')
VARIED = dict(queries='queries', objects='objects in an image')


def models_table(result: dict) -> str:
    """Return milliseconds of each model and stage, ratios to the host, for the grid."""
    grid = [case for case in result['measured'] if case['series'] == 'grid']
    tables = []
    for mode, title in MODES.items():
        seen = {
            stage
            for case in grid
            for cost in case[mode].values()
            for stage in cost['stages']
        }
        stages = [stage for stage in STAGES if stage in seen]
        head = ['queries', 'batch', 'precision', 'model', 'ms', 'times the host']
        head += ['memory, MB', *(f'{stage}, ms' for stage in stages)]
        rows = []
        for case in grid:
            for name, cost in case[mode].items():
                low, high = cost['ratio']['quartiles']
                median = cost['ratio']['median']
                rows.append(
                    [
                        str(case['queries']),
                        str(case['batch']),
                        'half' if case['amp'] else 'single',
                        name,
                        f'{1000 * cost["p50"]:.0f}',
                        f'{median:.3f} ({low:.3f}-{high:.3f})',
                        f'{cost["peak_bytes"] / 1e6:.0f}',
                        *(milliseconds(cost['stages'].get(s)) for s in stages),
                    ]
                )
        tables.append(f'**{title}**\n\n{markdown(head, rows)}')
    return '\n\n'.join(tables)


def milliseconds(seconds: float | None) -> str:
    """Return a cell; '-' for a stage that a model does not have."""
    return '-' if seconds is None else f'{1000 * seconds:.1f}'


def draw_growth(measured: list[dict], settings: dict) -> Figure:
    """Draw median time and quartiles against queries and objects, a line a model."""
    series = [
        name for name in VARIED if any(case['series'] == name for case in measured)
    ]
    figure = Figure(figsize=(max(5.5, 4.2 * len(series)), 6), layout='constrained')
    panels = figure.subplots(len(MODES), len(series), squeeze=False)
    for row, (mode, title) in zip(panels, MODES.items(), strict=True):
        for axes, name in zip(row, series, strict=True):
            cases = [case for case in measured if case['series'] == name]
            for model in cases[0][mode]:
                spread = [summary(case[mode][model]['seconds']) for case in cases]
                times = np.array([1000 * one['median'] for one in spread])
                low, high = 1000 * np.array([one['quartiles'] for one in spread]).T
                axes.errorbar(
                    [case[name] for case in cases],
                    times,
                    yerr=[times - low, high - times],
                    fmt='o-',
                    markersize=4,
                    capsize=3,
                    label=model,
                )
            axes.set(
                xlabel=VARIED[name], ylabel='ms, median and quartiles', title=title
            )
            axes.set_ylim(bottom=0)
            axes.spines[['top', 'right']].set_visible(False)
    panels[0, 0].legend(frameon=False, fontsize=8)
    height, width = settings['size']
    figure.suptitle(
        f'{settings["family"]["host"]}, {height} x {width} pixels, '
        f'{settings["device"]}, threads: {settings["threads"]}; '
        f'{settings["repeats"]} repetitions, models interleaved',
        fontsize=9,
    )
    return figure
