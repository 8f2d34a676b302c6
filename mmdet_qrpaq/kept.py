"""What a forward pass leaves on a detector for the losses, and no longer than that."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn

Value = TypeVar('Value')


@contextmanager
def kept_on(module: nn.Module, name: str, value: Value) -> Iterator[Value]:
    """Set an attribute for the length of a block: a graph left behind breaks copies.

    Args:
        value: To be filled by methods that find it in `vars(module)`.
    """
    setattr(module, name, value)
    try:
        yield value
    finally:
        delattr(module, name)
