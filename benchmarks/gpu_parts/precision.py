"""Single and half precision on a CPU and a GPU, for all models alike."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import mmcv.ops.multi_scale_deform_attn as mmcv_attention
import torch
from torch import Tensor

HALVES = dict(fp32=None, tf32=None, fp16=torch.float16, bf16=torch.bfloat16)


class _WiderAttention:
    """mmcv's kernel, for which bfloat16 becomes float32: it knows no bfloat16."""

    def __init__(self, function: type) -> None:
        self.function = function

    def apply(self, value: Tensor, *inputs) -> Tensor:
        wide = value.float() if value.dtype == torch.bfloat16 else value
        return self.function.apply(wide, *inputs).to(value.dtype)


def autocast(precision: str, device: str) -> torch.autocast:
    """Return what goes around a forward."""
    dtype = HALVES[precision]
    return torch.autocast(device, dtype=dtype, enabled=dtype is not None)


@contextmanager
def precise(precision: str) -> Iterator[None]:
    """Set up `HALVES`, backward included; `'tf32'` has TF32 in every product."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    function = mmcv_attention.MultiScaleDeformableAttnFunction
    with ExitStack() as stack:
        if precision == 'tf32':
            matmul.allow_tf32 = cudnn.allow_tf32 = True
        if precision == 'bf16':
            wider = _WiderAttention(function)
            name = 'MultiScaleDeformableAttnFunction'
            stack.enter_context(mock.patch.object(mmcv_attention, name, wider))
        try:
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before
