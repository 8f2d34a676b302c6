"""All of it for a model: a detector's option, a hook of a run, one call."""

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from ..errors import check_choice
from .attention import CLASSES, set_cpu_attention
from .feedforward import mend_feedforward
from .fused_attention import set_fused_attention


def speed_up(
    model: nn.Module,
    cpu_attention: str = 'embedding_bag',
    fused_attention: bool = True,
) -> None:
    """Compute the same numbers sooner, but for rounding.

    Works on any model of mmdet, before and after loading weights.

    Args:
        cpu_attention: How deformable attention runs on a CPU, see `set_cpu_attention`;
            `'grid_sample'` is mmcv's, bit for bit.
        fused_attention: Whether self-attention leaves out the weights that nobody
            reads, see `set_fused_attention`; False is mmcv's, bit for bit.

    Raises:
        ConfigError: If `cpu_attention` is neither of the two.
    """
    set_cpu_attention(model, cpu_attention)
    set_fused_attention(model, fused_attention)
    mend_feedforward(model)


class FasterAttentionMixin:
    """Adds `cpu_attention` and `fused_attention` to a detector, see `speed_up`."""

    def __init__(
        self,
        *args,
        cpu_attention: str = 'embedding_bag',
        fused_attention: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        speed_up(self, cpu_attention, fused_attention)


@HOOKS.register_module()
class FasterAttentionHook(Hook):
    """Calls `speed_up` on the model before a run.

    A config asks for it with `custom_hooks = [dict(type='FasterAttentionHook')]`; this
    project's detectors need no hook.

    Args:
        cpu_attention, fused_attention: See `speed_up`.
    """

    def __init__(
        self, cpu_attention: str = 'embedding_bag', fused_attention: bool = True
    ) -> None:
        name = 'FasterAttentionHook.cpu_attention'
        check_choice(name, cpu_attention, list(CLASSES))
        self.cpu_attention = cpu_attention
        self.fused_attention = fused_attention

    def before_run(self, runner: Runner) -> None:
        """Choose."""
        speed_up(runner.model, self.cpu_attention, self.fused_attention)
