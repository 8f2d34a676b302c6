"""Pattern diversity regularisation (PaQ-DETR Eq. 8)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pattern_diversity(patterns: Tensor) -> Tensor:
    """Return the mean absolute cosine over ordered pairs of different patterns, Eq. 8.

    0 for orthogonal patterns, 1 for parallel ones; 0 if there is only one pattern.

    Shapes:
        patterns: (num_patterns, dim)
        output: scalar, fp32
    """
    # Not under autocast: cosines near zero are what the loss is about.
    with torch.autocast(patterns.device.type, enabled=False):
        unit = F.normalize(patterns.float(), dim=-1)
        cosine = (unit @ unit.T).abs()
        num_pairs = max(len(unit) * (len(unit) - 1), 1)
        return (cosine.sum() - cosine.diagonal().sum()) / num_pairs
