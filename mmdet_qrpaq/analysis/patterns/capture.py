"""What the analyses of patterns share: a check for patterns, and how many are in use.

The weights W^D (PaQ-DETR Eq. 5) themselves are collected by `listening`.
"""

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
    if not hasattr(generator, 'weight_generator'):
        raise ConfigError(
            f'this {type(detector).__name__} has no patterns: set model.pattern_query '
            "and one of this package's detectors."
        )
    return generator


def effective_patterns(weights: Tensor | np.ndarray) -> Tensor:
    """Return exp(entropy) of rows that sum to 1: from 1 to their length.

    Shapes:
        weights: (*, num_patterns); returns (*)
    """
    return torch.special.entr(torch.as_tensor(weights)).sum(-1).exp()
