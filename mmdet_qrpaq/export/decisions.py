"""What a detector chooses: proposals, the queries that enter, detections.

Two runtimes round differently, and a choice between two nearly equal scores then falls
otherwise, after which nothing can be compared. So decisions are told, and can be
imposed: those of one runtime on the other.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..temporary_attribute import temporary_attribute

ENTER, SELECT = 'enter', 'select'


class Decisions(TorchFunctionMode):
    """Writes down decisions in their order, and imposes those it is given.

    Args:
        imposed: Taken in place of what was decided; None: nothing is.

    Attributes:
        made: Kind and outcome of each: of `ENTER`, (bs, nq) bool; of `SELECT`, the
            indices (bs, k) of a top-k.
    """

    def __init__(self, imposed: list[Tensor] | None = None) -> None:
        super().__init__()
        self.imposed = imposed
        self.made: list[tuple[str, Tensor]] = []

    def decide(self, kind: str, own: Tensor) -> Tensor:
        """Write a decision down, and return it or the one that is imposed."""
        number = len(self.made)
        self.made.append((kind, own))
        return own if self.imposed is None else self.imposed[number].to(own.device)

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if getattr(function, '__name__', '') != 'topk':
            return result
        chosen = self.decide(SELECT, result.indices)
        if chosen is not result.indices:
            # All of them are along the last dimension, or the only one after images.
            values = args[0].gather(1, chosen)
            return torch.return_types.topk((values, chosen))
        return result


@contextmanager
def deciding(
    detector: nn.Module, imposed: list[Tensor] | None = None
) -> Iterator[Decisions]:
    """Write down, or impose, what a detector decides meanwhile."""
    with ExitStack() as stack:
        decisions = Decisions(imposed)
        for layer in getattr(detector, 'routed_layers', ()):
            choose = partial(_choose, decisions, layer.choose)
            stack.enter_context(temporary_attribute(layer, 'choose', choose))
        yield stack.enter_context(decisions)


def _choose(decisions: Decisions, choose: Callable, scores: Tensor) -> Any:
    decision = choose(scores)
    return decision._replace(enter=decisions.decide(ENTER, decision.enter))


def share_changed(kind: str, one: Tensor, other: Tensor) -> float:
    """Return the share of decisions that two runtimes do not have in common.

    Shapes:
        one, other: (bs, n); of `SELECT` in any order
    """
    if kind == ENTER:
        return float((one != other).float().mean())
    common = (one.unsqueeze(2) == other.unsqueeze(1)).any(2)
    return 1 - float(common.float().mean())
