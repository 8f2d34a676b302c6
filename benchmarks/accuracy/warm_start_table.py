"""The tables and the figure of `warm_start.py`."""

import numpy as np
from matplotlib.figure import Figure

from benchmarks.recording import RESULTS, load, setting
from mmdet_qrpaq.records.tables import markdown
from mmdet_qrpaq.sweeps.table import mean_and_interval, mean_and_spread

TITLES = dict(qr='QR', paq='PaQ', qrpaq='QR + PaQ')


def is_measured() -> bool:
    """Tell whether there is a result."""
    return (RESULTS / 'warm_start.json').exists()


def warm_start_tables() -> str:
    """Return AP at the start, and of trainings from there and from nothing."""
    if not is_measured():
        return 'Not measured yet.'
    result = load('warm_start')
    seeds = result['measured']
    hosts = np.array([found['host'] for found in seeds.values()])
    rows = []
    for name, title in TITLES.items():
        found = [seed['methods'][name] for seed in seeds.values()]
        starts = np.array([row['converted'] for row in found])
        errors = [row['relative_error'] for row in found if 'relative_error' in row]
        cells = [mean_and_spread(hosts), mean_and_spread(starts)]
        cells += [mean_and_interval(starts - hosts)]
        rows.append([title, *cells, f'{np.mean(errors):.2f}' if errors else 'none'])
    head = ['', 'AP, host', 'AP, converted', 'minus host', 'relative error of content']
    trained = curves(seeds)
    lines = [
        [title, *map(mean_and_spread, aps.T.tolist())] for title, aps in trained.items()
    ]
    warm, cold, longer = trained.values()
    epochs = [f'epoch {epoch}' for epoch in range(1, warm.shape[1] + 1)]
    for title, other in (('from nothing', cold), ('the host, trained on', longer)):
        differences = (warm - other).T.tolist()
        cells = map(mean_and_interval, differences)
        lines.append([f'PaQ, converted, minus {title}', *cells])
    options = ' '.join(f"'{option}'" for option in result['settings']['options'])
    return (
        f'{markdown(head, rows)}\n\n{markdown(["AP after", *epochs], lines)}\n\n'
        f'Seeds {", ".join(seeds)}; mean ± standard deviation, in brackets the 95 % '
        'interval of the mean of the differences by seed; '
        f'`--cfg-options {options}`; {setting(result)}.'
    )


def curves(seeds: dict[str, dict]) -> dict[str, np.ndarray]:
    """Return the AP of trainings by what they are, (seeds, epochs) each."""
    paq = [found['methods']['paq'] for found in seeds.values()]
    return {
        'PaQ, converted': np.array([row['warm'] for row in paq]),
        'PaQ, from nothing': np.array([row['cold'] for row in paq]),
        'the host, trained on': np.array([s['host_longer'] for s in seeds.values()]),
    }


def draw_warm_start() -> Figure:
    """Draw the curves, mean and range over seeds; epoch 0 is the start."""
    seeds = load('warm_start')['measured']
    hosts = [found['host'] for found in seeds.values()]
    converted = [found['methods']['paq']['converted'] for found in seeds.values()]
    starts = (converted, None, hosts)
    figure = Figure(figsize=(5.6, 3.4), layout='constrained')
    axes = figure.subplots()
    for number, (title, aps) in enumerate(curves(seeds).items()):
        epochs = np.arange(1, aps.shape[1] + 1)
        if starts[number] is not None:
            aps = np.column_stack([starts[number], aps])
            epochs = np.arange(aps.shape[1])
        style = dict(color=f'C{number}', marker='os^'[number], label=title)
        axes.plot(epochs, aps.mean(0), **style)
        axes.fill_between(
            epochs, aps.min(0), aps.max(0), color=f'C{number}', alpha=0.2, linewidth=0
        )
    axes.set(xlabel='epochs', ylabel='AP', ylim=(0, None), xticks=epochs)
    axes.legend(frameon=False, fontsize=8, loc='lower right')
    axes.spines[['top', 'right']].set_visible(False)
    return figure
