"""Reads the weights W^D (PaQ-DETR Eq. 5) from a model with patterns as it runs.

Feeds :mod:`.pattern_weights` and :mod:`.pattern_embedding`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ConfigError


def require_patterns(detector: nn.Module) -> nn.Module:
    """Return the generator of pattern queries.

    Raises:
        ConfigError: The model has none.
    """
    generator = getattr(detector, 'pattern_query_generator', None)
    if generator is None:
        raise ConfigError(
            f'this {type(detector).__name__} has no patterns: set model.pattern_query '
            "and one of this package's detectors."
        )
    return generator


@contextmanager
def captured_weights(detector: nn.Module) -> Iterator[list[Tensor]]:
    """Append W^D of each forward pass, (bs, nq, num_patterns), to a list while inside.

    Raises:
        ConfigError: The model has no patterns.
    """
    captured: list[Tensor] = []
    handle = require_patterns(detector).weight_generator.register_forward_hook(
        lambda module, args, output: captured.append(output.detach().float())
    )
    try:
        yield captured
    finally:
        handle.remove()


def effective_patterns(weights: Tensor | np.ndarray) -> Tensor:
    """Return exp(entropy) of rows that sum to 1: from 1 to their length.

    Shapes:
        weights: (*, num_patterns); returns (*)
    """
    return torch.special.entr(torch.as_tensor(weights)).sum(-1).exp()
