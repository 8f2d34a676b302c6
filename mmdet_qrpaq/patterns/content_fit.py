"""Learned content as mixes of patterns: the nearest there is, in closed form.

Called by `PatternQueryGenerator.start_as`, for a start from a trained host.
"""

import math

import torch
from torch import Tensor

# Least weight of a pattern, in shares of the mean one: logits stay finite.
_LEAST = 0.1


def fit_content(content: Tensor, num_patterns: int) -> tuple[Tensor, Tensor]:
    """Return weights W and patterns P whose product is nearest to a content.

    Rows of W sum to 1, so W P lies in a flat of `num_patterns - 1` dimensions. No flat
    of that size is nearer to the content than its mean and first principal components
    (Eckart and Young), and any point of one is a mix of the corners of a simplex that
    is large enough: the corners are the patterns. Nothing is left to an optimiser, and
    the error is the least that weights which no image changes can have.

    Shapes:
        content: (nq, dim)
        returns: W (nq, num_patterns), positive, rows summing to 1; P (num_patterns,
            dim), each at least about as long as a pattern that starts at random
    """
    exact = content.detach().double()
    mean = exact.mean(0)
    # (dim, dim), also where there are fewer queries than dimensions.
    axes = torch.linalg.svd(exact - mean)[2][: num_patterns - 1]
    corners = simplex(num_patterns).to(axes)[:, : len(axes)]
    shifts = (exact - mean) @ axes.T @ corners.T
    # The smallest simplex of this shape with the content inside.
    size = -shifts.min() * num_patterns / (1 - _LEAST)
    size = size.clamp(min=math.sqrt(content.shape[1]))
    weights = 1 / num_patterns + shifts / size
    patterns = mean + size * corners @ axes
    return weights.type_as(content), patterns.type_as(content)


def simplex(num_corners: int) -> Tensor:
    """Return the corners of a regular simplex around 0.

    Those of the cosine transform, which has no direction that one corner dominates.

    Shapes:
        returns: (n, n - 1) of float64; columns are orthonormal and sum to 0
    """
    place = torch.arange(num_corners, dtype=torch.float64)[:, None] + 0.5
    order = torch.arange(1, num_corners, dtype=torch.float64)
    return torch.cos(math.pi / num_corners * place * order) * math.sqrt(2 / num_corners)
