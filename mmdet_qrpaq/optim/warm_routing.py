"""Lets every query enter at first, and the rule decide by and by, in training."""

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..errors import ConfigError, check_number


@HOOKS.register_module()
class WarmRoutingHook(Hook):
    """Lowers `query_routing.at_least` from 1 to the config's while a model is trained.

    By the number of the iteration alone, so that a resumed run goes on as it was. A
    validation in between routes as training does at that time.

    Args:
        start: Share of the training from which on the rule decides about some.
        end: Share of the training from which on it decides about all.

    Raises:
        ConfigError: If they are no shares, or the model does not route.

    Paper vs here: not in the paper, which routes from the first step.
    """

    def __init__(self, start: float = 0.5, end: float = 1.0) -> None:
        check_number('WarmRoutingHook.start', start, 0, 1, hint='half of it: 0.5')
        check_number('WarmRoutingHook.end', end, start, 1, hint='from start to 1')
        self.start = start
        self.end = end

    def before_train(self, runner: Runner) -> None:
        """Remember what the config says."""
        detector = unwrapped(runner.model)
        if not hasattr(detector, 'change_routing'):
            raise ConfigError(
                'WarmRoutingHook needs a detector that routes, and model.type is '
                f"{type(detector).__name__}; take one as 'QRPaQDINO', or remove the "
                'hook from custom_hooks.'
            )
        detector.change_routing()  # refuses a model that does not route
        self._at_least = detector.routed_layers[0].settings.at_least

    def before_train_iter(self, runner: Runner, *_, **__) -> None:
        """Set the share of this iteration."""
        share = self.at_least(runner.iter / runner.max_iters)
        unwrapped(runner.model).change_routing(at_least=share)

    def after_train(self, runner: Runner) -> None:
        """Leave the model as the config says."""
        unwrapped(runner.model).change_routing(at_least=self._at_least)

    def at_least(self, progress: float) -> float:
        """Return the share that enters when this share of the training is done."""
        if progress < self.start:
            return 1.0
        if progress >= self.end:
            return self._at_least
        done = (progress - self.start) / (self.end - self.start)
        return 1 - done * (1 - self._at_least)


def unwrapped(model):
    """Return the detector itself."""
    return model.module if is_model_wrapper(model) else model
