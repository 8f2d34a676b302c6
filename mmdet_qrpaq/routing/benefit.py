"""Teaches the router whom a slice of a decoder layer helps (`gradient='benefit'`).

QR-DETR says that a query that a layer would make worse should bypass it (Sec. 1), and
its router is never told which those are. Here exit heads predict from every query
before and after the slice, entering or not, and the router learns to tell who is better
off behind it.

Paper vs here: not in the paper. `QueryRoutingMixin` adds it to the losses.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from torch import Tensor

from ..matching import GroundTruth, match_layers, negative_loss
from .eeqr_layer import RoutingTrace
from .exit_heads import Predictions
from .policies import score_margin


def benefit_losses(
    assigner: object,
    traces: Sequence[RoutingTrace],
    before: Predictions,
    after: Predictions,
    truth: GroundTruth,
) -> Tensor:
    """Return the router's loss of each layer, (num_layers,).

    The cross-entropy of 'enter' against 'better off', its mean over queries with an
    object plus its mean over the others, who are many more. The object of a query is
    that of the last layer, in all layers.

    Args:
        assigner: The host's, which matches queries and objects.
    """
    with torch.no_grad():
        last = [x[-1:] for x in after]
        matches = match_layers(assigner, *last, truth)
        assigned = matches.assigned(last[0].shape[:3], truth.labels.shape[1])[0]
        has_object = assigned >= 0
        better = quality(after, assigned, truth) > quality(before, assigned, truth)
    margin = torch.stack([score_margin(trace.scores) for trace in traces]).float()
    each = F.binary_cross_entropy_with_logits(
        margin, better.to(margin), reduction='none'
    )
    return sum(
        (each * group).sum((1, 2)) / group.sum().clamp(min=1)
        for group in (has_object, ~has_object)
    )


def quality(predictions: Predictions, assigned: Tensor, truth: GroundTruth) -> Tensor:
    """Return how good each prediction is, (num_layers, bs, nq); higher is better.

    Of a query with an object, probability of its class times IoU; of another, the
    focal loss of 'no object', negated.

    Shapes:
        assigned: (bs, nq) int64, the object of each query, -1 if none
    """
    logits, boxes = (x.float() for x in predictions)
    image, query = (assigned >= 0).nonzero(as_tuple=True)
    index = assigned[image, query]
    nothing = -negative_loss(logits, alpha=0.75, gamma=2).sum(-1)
    probability = logits[:, image, query, truth.labels[image, index]].sigmoid()
    iou = bbox_overlaps(
        bbox_cxcywh_to_xyxy(boxes[:, image, query]),
        bbox_cxcywh_to_xyxy(truth.boxes[image, index]).expand(len(boxes), -1, -1),
        is_aligned=True,
    )
    nothing[:, image, query] = probability * iou
    return nothing
