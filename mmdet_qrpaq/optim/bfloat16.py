"""bfloat16 on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward passes under autocast to bfloat16, on a CPU too; losses are not scaled.

    mmengine's `AmpOptimWrapper(dtype='bfloat16')` refuses a CPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter mmengine's context, and autocast."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
