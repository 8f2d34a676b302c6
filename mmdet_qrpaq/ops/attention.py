"""mmcv's deformable attention with another function beneath it on the CPU.

mmcv itself is left alone: a module gets this class and can be given its own back.
"""

import functools
import inspect
from collections.abc import Callable
from types import FunctionType, SimpleNamespace

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmengine.utils import deprecated_api_warning
from torch import Tensor, nn

from ..errors import check_choice
from .tracing import is_compiling
from .weighted_rows import deformable_attention


def _calling(function: FunctionType, **others: object) -> FunctionType:
    """Return a function that finds other objects under these global names."""
    return FunctionType(
        function.__code__,
        {**function.__globals__, **others},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


def widened(function: Callable) -> Callable:
    """Return a function that is given float32 for bfloat16, which it does not know."""

    def call(first: Tensor, *rest) -> Tensor:
        wide = first.float() if first.dtype == torch.bfloat16 else first
        return function(wide, *rest).to(first.dtype)

    return call


class EmbeddingBagAttention(MultiScaleDeformableAttention):
    """mmcv's module, which runs `deformable_attention` where it would `grid_sample`.

    Parameters, their names and what they start from are the same. On CUDA mmcv's kernel
    stays in use; bfloat16, which it does not know, is given to it in single precision.
    """

    # No name of mmcv is exchanged, not even for a moment: other threads would see it.
    _forward = deprecated_api_warning({'residual': 'identity'})(
        _calling(
            inspect.unwrap(MultiScaleDeformableAttention.forward),
            multi_scale_deformable_attn_pytorch=deformable_attention,
            MultiScaleDeformableAttnFunction=SimpleNamespace(
                apply=widened(MultiScaleDeformableAttnFunction.apply)
            ),
        )
    )

    @functools.wraps(MultiScaleDeformableAttention.forward)
    def forward(self, *args, **kwargs) -> Tensor:
        if is_compiling():  # which looks up global names by the name of their module
            return super().forward(*args, **kwargs)
        return self._forward(*args, **kwargs)


CLASSES = dict(
    embedding_bag=EmbeddingBagAttention, grid_sample=MultiScaleDeformableAttention
)


def set_cpu_attention(model: nn.Module, cpu_attention: str = 'embedding_bag') -> None:
    """Choose what all deformable attention of a model is made of on the CPU.

    Works on any model of mmdet, before and after loading weights. Subclasses of mmcv's
    module by others are left as they are.

    Args:
        cpu_attention: `'embedding_bag'`, which is faster, or `'grid_sample'`, mmcv's
            own.

    Raises:
        ConfigError: If it is something else.
    """
    check_choice('cpu_attention', cpu_attention, list(CLASSES))
    for module in model.modules():
        if type(module) in CLASSES.values():
            module.__class__ = CLASSES[cpu_attention]
