"""Table and curves of a sweep."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ..analysis.training.curves import draw_training_curves
from ..analysis.training.history import AP, History
from ..records.results import write_figure, write_whole
from .plan import Run
from .record import read_records
from .table import comparison


def write_summary(runs: Sequence[Run], records: Path, folder: Path) -> None:
    """Write `table.md` and `curves.png` of the runs that are recorded."""
    paths = (records / f'{run.file_name}.json' for run in runs)
    results = read_records(path for path in paths if path.exists())
    if not results:
        return
    variants = list(dict.fromkeys(run.variant for run in runs))
    budget = describe_budget(results)
    text = f'{comparison(results, variants)}\n\n{budget}\n'
    write_whole(folder / 'table.md', text)
    write_figure(folder / 'curves.png', draw_curves(results, variants, budget), 160)


def describe_budget(results: dict[str, dict[int, dict]]) -> str:
    """Say on what and how long the runs trained, by variant where that differs."""
    budgets: dict[str, dict[str, None]] = {}
    for variant, by_seed in results.items():
        for record in by_seed.values():
            settings = record['settings']
            budget = (
                f'{settings["data"]["folder"]}, {settings["iterations"]} iterations of '
                f'{settings["batch_size"]} images of {settings["image_size"]} pixels '
                '(longest side)'
            )
            budgets.setdefault(budget, {})[variant] = None
    if len(budgets) == 1:
        return next(iter(budgets))
    return '; '.join(f'{", ".join(names)}: {text}' for text, names in budgets.items())


def draw_curves(
    results: dict[str, dict[int, dict]], variants: Sequence[str], title: str
) -> Figure:
    """Draw the recorded runs, those of one variant as mean and range.

    Args:
        results: See `read_records`.
        variants: In drawing order.
        title: Said above both curves.

    Raises:
        ConfigError: Some count epochs, others iterations.
    """
    runs = [
        (variant, _history(record))
        for variant in variants
        for record in results.get(variant, {}).values()
    ]
    figure = draw_training_curves(runs)
    figure.suptitle(title, fontsize=10)
    if len(runs) > 1:
        # One legend beside the curves: a sweep can have many.
        handles, labels = figure.axes[1].get_legend_handles_labels()
        for axes in figure.axes:
            if legend := axes.get_legend():
                legend.remove()
        figure.legend(
            handles, labels, loc='outside right center', frameon=False, fontsize=8
        )
        figure.set_figwidth(12)
    return figure


def _history(record: dict) -> History:
    measured = record['measured']
    return History(
        [{'iter': step, 'loss': loss} for step, loss in measured['loss_curve']],
        [{'step': step, AP: ap} for step, ap in measured['AP_curve']],
        record['settings']['epochs'] is not None,
    )
