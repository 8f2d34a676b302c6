"""Single and half precision on a CPU and a GPU, for all models alike."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest import mock

import mmcv.ops.multi_scale_deform_attn as attention
import torch
from mmdet.models.losses import focal_loss

from mmdet_qrpaq.ops.attention import widened

HALVES = dict(fp32=None, tf32=None, fp16=torch.float16, bf16=torch.bfloat16)


@contextmanager
def kernels_without_bfloat16() -> Iterator[None]:
    """Widen for mmcv's kernels: deformable attention and the focal loss."""
    kernel = SimpleNamespace(
        apply=widened(attention.MultiScaleDeformableAttnFunction.apply)
    )
    focal = widened(focal_loss._sigmoid_focal_loss)
    with (
        mock.patch.object(attention, 'MultiScaleDeformableAttnFunction', kernel),
        mock.patch.object(focal_loss, '_sigmoid_focal_loss', focal),
    ):
        yield


def autocast(precision: str, device: str) -> torch.autocast:
    """Return what goes around a forward."""
    dtype = HALVES[precision]
    return torch.autocast(device, dtype=dtype, enabled=dtype is not None)


@contextmanager
def precise(precision: str) -> Iterator[None]:
    """Set up `HALVES`, backward included; `'tf32'` has TF32 in every product."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    if precision == 'tf32':
        matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        with kernels_without_bfloat16() if precision == 'bf16' else nullcontext():
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
