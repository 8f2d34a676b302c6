"""Class losses of a sigmoid per class, where nearly all elements are negatives.

Each row has one class at most. All elements get the loss of a negative, and the one at
the class of its row another; no one-hot target of the same size is needed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def negative_loss(logits: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return -alpha * p^gamma * log(1 - p), elementwise."""
    return alpha * logits.sigmoid().pow(gamma) * F.softplus(logits)


def at_labels(values: Tensor, labels: Tensor) -> Tensor:
    """Return the value at the class of each row, of any class for background.

    Shapes:
        values: (N, num_classes)
        labels: (N,) int64, num_classes = background
        returns: (N, 1)
    """
    return values.gather(1, labels.clamp(max=values.shape[1] - 1)[:, None])


def with_at_labels(values: Tensor, labels: Tensor, at_label: Tensor) -> Tensor:
    """Return the values, another where a row has its class; shapes as above."""
    index = labels.clamp(max=values.shape[1] - 1)[:, None]
    has_class = (labels < values.shape[1])[:, None]
    at_label = torch.where(has_class, at_label, values.gather(1, index))
    return values.scatter(1, index, at_label)


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the focal loss of each element (arXiv 1708.02002, Eq. 5).

    Shapes:
        logits: (N, num_classes)
        labels: (N,) int64, num_classes = background
        returns: (N, num_classes)
    """
    # A positive is a negative with the opposite logit.
    positive = negative_loss(-at_labels(logits, labels), alpha, gamma)
    return with_at_labels(negative_loss(logits, 1 - alpha, gamma), labels, positive)
