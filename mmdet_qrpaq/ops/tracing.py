"""Tells whether a graph is being recorded, where no decision may depend on numbers."""

import torch

try:
    from torch.compiler import is_compiling
except ImportError:  # torch before 2.3
    from torch._utils import is_compiling

__all__ = ['is_compiling', 'is_traced']


def is_traced() -> bool:
    """Tell whether a graph is being recorded: `torch.jit`, ONNX, export or compile."""
    return is_compiling() or torch.jit.is_tracing()
