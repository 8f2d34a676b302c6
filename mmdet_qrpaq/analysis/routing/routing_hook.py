"""Query routing in the log of a run: entered queries per layer, and a warning.

A config asks for it with `custom_hooks = [dict(type='QueryRoutingHook')]`.
"""

from contextlib import ExitStack

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmdet.registry import HOOKS
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

from ...errors import ConfigError, check_number
from ..listening import Heard, bare_model, listening
from .decisions import (
    RoutingStatistics,
    draw_layers,
    warn_of_collapse,
)

# Numbers of a layer that a validation logs, by suffix.
LOGGED = {'': 'entered', '_std': 'entered_std', '_differ': 'differing'}


@HOOKS.register_module()
class QueryRoutingHook(Hook):
    """Logs how many queries enter at each decoder layer (QR-DETR Table 2, Fig. 4).

    In training, `routing/d0.layer` (decoder layer 0, site `layer`) is the mean over the
    images of this process since the last report, as its losses are. After a validation
    or test, over all processes: that mean, `..._std` (standard deviation over images),
    `..._differ` (share of decisions that differ between two images), the histograms as
    a figure in the backends of the visualiser, and a warning for each collapsed site.

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
        self._listening = ExitStack()
        self._heard: Heard | None = None

    def before_run(self, runner: Runner) -> None:
        """Refuse a model without routing; take over the logger's interval."""
        model = bare_model(runner)
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
        """Start to listen: not earlier, since EMA copies the model before the run."""
        self._training = self._listen(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, *_, **__) -> None:
        """Count; report at the logger's pace, and at the end of an epoch."""
        self._training.add(self._heard.entered)
        if not (
            self.every_n_inner_iters(batch_idx, self.interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            return
        for layer in self._training.numbers()['layers']:
            name = f'train/routing/{layer["name"]}'
            runner.message_hub.update_scalar(name, layer['entered'])
        self._training.reset()

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        self._training = None
        self._listening.close()

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Count a validation or test on its own."""
        if mode != 'train':
            self._testing = self._listen(runner)

    def after_val_iter(self, *_, **__) -> None:
        """Count."""
        self._testing.add(self._heard.entered)

    after_test_iter = after_val_iter

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Log what was counted."""
        if mode == 'train':
            return
        numbers = self._testing.numbers(reduce=True)
        self._testing, step = None, 0
        if self._training is None:
            self._listening.close()
        else:
            step = runner.iter  # builds the training loop if there is none yet
        for layer in numbers['layers']:
            for suffix, key in LOGGED.items():
                name = f'{mode}/routing/{layer["name"]}{suffix}'
                runner.message_hub.update_scalar(name, layer[key])
            if layer['collapsed']:
                runner.logger.warning(warn_of_collapse(layer))
        canvas = FigureCanvasAgg(draw_layers(numbers))
        canvas.draw()
        figure = np.asarray(canvas.buffer_rgba())[..., :3]
        runner.visualizer.add_image(f'query_routing_{mode}', figure, step)

    def _listen(self, runner: Runner) -> RoutingStatistics:
        """Listen to the model, whoever listened before, and count anew."""
        model = bare_model(runner)
        self._listening.close()
        self._heard = self._listening.enter_context(listening(model))
        return RoutingStatistics(model)
