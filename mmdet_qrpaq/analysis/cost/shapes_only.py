"""Runs modules for the shapes alone, which is all that FLOPs depend on.

A detector at full size then needs seconds instead of a minute.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class _ShapesOnly(TorchDispatchMode):
    """While `depth` is above 0, what is computed in floating point is zero.

    All elements are one number in memory, so large tensors take neither time nor space.
    Integers, masks and views are what they would be.
    """

    depth = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self.depth or func.is_view:
            return func(*args, **kwargs)
        if func._schema.name.endswith('_') and args[0].is_floating_point():
            return args[0]  # in place
        call = tree_map_only(Tensor, lambda tensor: tensor.to('meta'), (args, kwargs))
        try:
            outputs = func(*call[0], **call[1])
        except (NotImplementedError, RuntimeError):  # depends on values
            return func(*args, **kwargs)
        shapes = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
        if not shapes or not all(shape.is_floating_point() for shape in shapes):
            return func(*args, **kwargs)
        return tree_map_only(
            Tensor,
            lambda shape: torch.zeros((), dtype=shape.dtype).expand(shape.shape),
            outputs,
        )


@contextmanager
def shapes_only(*modules: nn.Module) -> Iterator[None]:
    """Let calls of `modules`, on the CPU, give zeros of the right shape."""
    mode = _ShapesOnly()

    def enter(*_: Any) -> None:
        mode.depth += 1

    def leave(*_: Any) -> None:
        mode.depth -= 1

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.register_forward_pre_hook(enter))
            hook = module.register_forward_hook(leave, always_call=True)
            stack.enter_context(hook)
        stack.enter_context(mode)
        yield
