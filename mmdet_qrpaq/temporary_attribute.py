"""An attribute that a module has for the length of one call, and not after it.

A forward pass leaves there what the losses need. If it stayed, it would hold the graph
of that pass, which breaks `deepcopy` and with it an EMA of the model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn

Value = TypeVar('Value')


@contextmanager
def temporary_attribute(module: nn.Module, name: str, value: Value) -> Iterator[Value]:
    """Set an attribute of a module while the block runs, and undo it afterwards.

    Args:
        value: Filled by methods that find it in `vars(module)`.
    """
    before = {key: own for key, own in vars(module).items() if key == name}
    setattr(module, name, value)
    try:
        yield value
    finally:
        delattr(module, name)  # the class's own, if any, is in force again
        vars(module).update(before)
