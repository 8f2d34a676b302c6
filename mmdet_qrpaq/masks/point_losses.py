"""Mask losses at sampled points, with memory that does not grow with the objects.

Called by `MaskBranch`. Points, their sampling and the losses are upstream's
(Mask2Former).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class PointSampling(NamedTuple):
    """How points are drawn, separately for each object and decoder layer.

    Attributes:
        num_points: Points of a mask, at least 1.
        oversample_ratio: Candidates per point, at least 1.
        importance_sample_ratio: Share of the points that are the least certain
            candidates, 0 to 1; the others are uniform.
    """

    num_points: int
    oversample_ratio: float
    importance_sample_ratio: float

    def draw(self, logits: Tensor) -> Tensor:
        """Draw points in [0, 1] x [0, 1] as (x, y); (n, h, w) -> (n, num_points, 2)."""
        with torch.no_grad():
            return get_uncertain_point_coords_with_randomness(
                logits[:, None], None, *self
            )


def queries_of_objects(matches: Tensor, num_objects: int) -> Tensor:
    """Return the query that each object is matched with, -1 if none.

    Shapes:
        matches: (num_layers, bs, nq) int64, the object of each query, -1 if none
        returns: (num_layers, bs, num_objects) int64
    """
    *lead, num_queries = matches.shape
    # Unmatched queries write into one object more, dropped again.
    queries = matches.new_full((*lead, num_objects + 1), -1)
    target = matches.masked_fill(matches < 0, num_objects)
    index = torch.arange(num_queries, device=matches.device).expand_as(matches)
    return queries.scatter(2, target, index)[..., :num_objects]


def losses_at_points(
    embeddings: Tensor,
    pixels: Tensor,
    matched: Tensor,
    masks: Tensor,
    num_masks: Tensor,
    sampling: PointSampling,
    loss_mask: nn.Module,
    loss_dice: nn.Module,
) -> Tensor:
    """Return both losses of every decoder layer, of some objects of each image.

    Sums over the objects, divided by `num_masks`, so parts of a batch add up.

    Shapes:
        embeddings: (num_layers, bs, n, dim), of the queries matched with n objects
        pixels: (bs, dim, h, w)
        matched: (num_layers, bs, n) bool; an object without a query costs nothing
        masks: (bs, n, stride * h, stride * w) float, 1 on the object
        num_masks: (num_layers,)
        returns: (num_layers, 2), mask loss and dice loss
    """
    num_layers, bs, n, _ = embeddings.shape
    logits = torch.einsum('lbnc,bchw->lbnhw', embeddings, pixels).float()
    logits = logits.flatten(0, 2)
    points = sampling.draw(logits)
    # At the very edge as `F.interpolate` has it, which makes the masks in testing.
    read = partial(point_sample, padding_mode='border')
    logits = read(logits[:, None], points).squeeze(1)
    # All layers look at the same mask: their points are read side by side.
    beside = points.view(num_layers, bs * n, -1, 2).transpose(0, 1).flatten(1, 2)
    targets = read(masks.flatten(0, 1)[:, None], beside).squeeze(1)
    targets = targets.unflatten(1, (num_layers, -1)).transpose(0, 1)
    logits = logits.view_as(targets)
    weights = matched.flatten(1).type_as(logits)
    losses = []
    for layer in zip(logits, targets, weights, num_masks, strict=True):
        logit, target, weight, number = layer
        # (points, 1) and weights of that shape are what all upstream losses take.
        columns = [item.reshape(-1, 1) for item in (logit, target)]
        weight_of_point = weight[:, None].expand_as(logit).reshape(-1, 1)
        num_points = number * logit.shape[1]
        losses += [
            loss_mask(*columns, weight_of_point, avg_factor=num_points),
            loss_dice(logit, target, weight, avg_factor=number),
        ]
    return torch.stack(losses).view(num_layers, 2)


def add_up(
    part: Callable[[int, int], Tensor], num_objects: int, at_once: int
) -> Tensor:
    """Sum `part(start, stop)` over the objects, `at_once` of them at a time.

    Several parts are computed again for the backward pass, so that only one is held in
    memory whatever the number of objects.
    """
    starts = range(0, num_objects, at_once)
    if len(starts) <= 1:
        return part(0, num_objects)
    return sum(
        checkpoint(part, start, min(start + at_once, num_objects), use_reentrant=False)
        for start in starts
    )
