"""The picture of a sweep: loss and AP, a curve a variant, with the range over seeds."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from mmdet_qrpaq.analysis.training.curves import AP, History, draw_training_curves


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
