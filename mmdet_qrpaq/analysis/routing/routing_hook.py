"""Query routing in the log of a run: entered queries per layer, and a warning.

A config asks for it with ``custom_hooks = [dict(type='QueryRoutingHook')]``.
"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmdet.registry import HOOKS
from mmengine.hooks import Hook, LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ...errors import ConfigError, check_number
from .decisions import (
    COLLAPSED,
    LayerRouting,
    RoutingStatistics,
    draw_routing,
)


@HOOKS.register_module()
class QueryRoutingHook(Hook):
    """Logs how many queries enter at each decoder layer (QR-DETR Table 2, Fig. 4).

    In training, ``routing/d0.layer`` (decoder layer 0, site ``layer``) is the mean over
    the pictures of this process since the last report, as its losses are. After a
    validation or test, over all processes: that mean, ``..._std`` (standard deviation
    over pictures), ``..._differ`` (share of decisions that differ between two
    pictures), the histograms as a picture in the visualiser's backends, and a warning
    for each collapsed site.

    Args:
        interval: Iterations between reports in training; None is the logger's own.

    Raises:
        ConfigError: If the interval is no whole number of at least 1, or, when the run
            starts, if the model does not route.
    """

    priority = 'NORMAL'  # before LoggerHook, which prints what it finds

    def __init__(self, interval: int | None = None) -> None:
        if interval is not None:
            hint = "None: the logger's interval"
            check_number(
                'QueryRoutingHook.interval', interval, 1, whole=True, hint=hint
            )
        self.interval = interval
        self._training: RoutingStatistics | None = None
        self._testing: RoutingStatistics | None = None

    def before_run(self, runner: Runner) -> None:
        """Refuse a model without routing; take over the logger's interval."""
        model = _bare_model(runner)
        if not getattr(model, 'routed_layers', None):
            raise ConfigError(
                'custom_hooks has a QueryRoutingHook, and the model '
                f'({type(model).__name__}) has no query routing: remove the hook or '
                'set model.query_routing.'
            )
        if self.interval is None:
            loggers = (hook for hook in runner.hooks if isinstance(hook, LoggerHook))
            self.interval = next((hook.interval for hook in loggers), 10)

    def before_train(self, runner: Runner) -> None:
        # Not earlier: EMA copies the model, hooks and all, before the run.
        self._training = RoutingStatistics(_bare_model(runner))
        self._training.start()

    def after_train_iter(self, runner: Runner, batch_idx: int, *_, **__) -> None:
        """Report at the logger's pace, and at the end of an epoch."""
        if not (
            self.every_n_inner_iters(batch_idx, self.interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            return
        for layer in self._training.layers():
            runner.message_hub.update_scalar(
                f'train/routing/{layer.name}', layer.entered
            )
        self._training.reset()

    def after_train(self, runner: Runner) -> None:
        self._training.stop()
        self._training = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Count the validation on its own."""
        if self._training is not None:
            self._training.stop()
        self._testing = RoutingStatistics(_bare_model(runner))
        self._testing.start()

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._report(runner, 'val')

    def before_test_epoch(self, runner: Runner) -> None:
        self.before_val_epoch(runner)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._report(runner, 'test')

    def _report(self, runner: Runner, mode: str) -> None:
        self._testing.stop()
        layers = self._testing.layers(reduce=True)
        self._testing = None
        for layer in layers:
            for suffix, value in (
                ('', layer.entered),
                ('_std', layer.entered_std),
                ('_differ', layer.differing),
            ):
                key = f'{mode}/routing/{layer.name}{suffix}'
                runner.message_hub.update_scalar(key, value)
            if layer.collapsed:
                runner.logger.warning(warn_of_collapse(layer))
        step = 0
        if self._training is not None:
            self._training.start()
            step = runner.iter  # builds the training loop if there is none yet
        canvas = FigureCanvasAgg(draw_routing(layers))
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3]
        runner.visualizer.add_image(f'query_routing_{mode}', picture, step)


def warn_of_collapse(layer: LayerRouting) -> str:
    """One sentence: where, how much, what it means, what to try."""
    enters = layer.share > 0.5
    share = layer.share if enters else 1 - layer.share
    verb, result = ('enter', 'routing saves nothing there')
    if not enters:
        verb, result = ('bypass it', 'it is as good as removed')
    return (
        f'Query routing has collapsed in decoder layer {layer.index} at '
        f'{layer.site!r}: {100 * share:.1f} % of the queries {verb} (over '
        f'{100 * COLLAPSED:.0f} %), so it no longer chooses between queries and '
        f'{result}; try '
        "query_routing.policy=dict(type='StandardizedPolicy'), which compares the "
        'queries of one picture with each other, or a threshold nearer to 0 if that '
        'is in use.'
    )


def _bare_model(runner: Runner) -> nn.Module:
    model = runner.model
    return model.module if is_model_wrapper(model) else model
