"""The matching costs of DETR heads, for all layers, images and objects at once.

Each is the formula of mmdet's cost of the same name, in the same precision, so that its
`HungarianAssigner` would find the same matches.
"""

import torch
import torch.nn.functional as F
from mmdet.models.task_modules.assigners import (
    BBoxL1Cost,
    ClassificationCost,
    FocalLossCost,
    HungarianAssigner,
    IoUCost,
)
from mmdet.structures.bbox import (
    bbox_cxcywh_to_xyxy,
    bbox_xyxy_to_cxcywh,
)
from torch import Tensor

from .ground_truth import GroundTruth
from .pairwise import pairwise_iou, pairwise_l1

# Numbers that torch's vectorised functions take at once, at most.
BLOCK = 64


def focal_cost(cost: FocalLossCost, logits: Tensor, _, truth: GroundTruth) -> Tensor:
    """Return what the focal loss gains if a query learns the object's class."""
    logits = _of_class(logits, truth)
    # On a CPU torch rounds what is left of its blocks of numbers in another way, so
    # that equal logits had unequal costs, and another query would get the object.
    size = logits.numel()
    prob = F.pad(logits.flatten(), (0, -size % BLOCK)).sigmoid()
    negative = -(1 - prob + cost.eps).log() * (1 - cost.alpha) * prob.pow(cost.gamma)
    positive = -(prob + cost.eps).log() * cost.alpha * (1 - prob).pow(cost.gamma)
    return (positive - negative)[:size].view_as(logits)


def softmax_cost(_, logits: Tensor, __, truth: GroundTruth) -> Tensor:
    """Return minus the probability of the object's class."""
    return -_of_class(logits.softmax(-1), truth)


def l1_cost(cost: BBoxL1Cost, _, pixels: Tensor, truth: GroundTruth) -> Tensor:
    """Return the L1 distance of normalised boxes."""
    objects, scale = truth.pixels, truth.scale[:, None]
    if cost.box_format == 'xywh':
        objects, pixels = bbox_xyxy_to_cxcywh(objects), bbox_xyxy_to_cxcywh(pixels)
    objects, pixels = (objects / scale).float(), (pixels / scale).float()
    return pairwise_l1(objects, pixels)


def iou_cost(cost: IoUCost, _, pixels: Tensor, truth: GroundTruth) -> Tensor:
    """Return minus the (generalised) IoU."""
    half = pixels.dtype == torch.float16
    boxes = pixels.float() if half else pixels
    overlaps = pairwise_iou(truth.pixels, boxes, cost.iou_mode)
    return -(overlaps.half() if half else overlaps)


COSTS = {
    FocalLossCost: focal_cost,
    ClassificationCost: softmax_cost,
    BBoxL1Cost: l1_cost,
    IoUCost: iou_cost,
}


def are_known(assigner: object) -> bool:
    """Tell whether the costs of an assigner are those above, and nothing else."""
    return type(assigner) is HungarianAssigner and all(
        type(cost) in COSTS
        and not getattr(cost, 'binary_input', False)
        and getattr(cost, 'iou_mode', 'iou') in ('iou', 'giou')
        for cost in assigner.match_costs
    )


@torch.no_grad()
def matching_costs(
    match_costs: list, cls_scores: Tensor, bbox_preds: Tensor, truth: GroundTruth
) -> Tensor:
    """Return the weighted sum of costs, (num_layers, bs, G, nq).

    Shapes:
        cls_scores: (num_layers, bs, nq, num_classes [+ 1]) logits
        bbox_preds: (num_layers, bs, nq, 4) as (cx, cy, w, h), normalised
    """
    scale = truth.scale[:, None].to(bbox_preds.dtype)
    pixels = bbox_cxcywh_to_xyxy(bbox_preds) * scale
    costs = (
        COSTS[type(cost)](cost, cls_scores, pixels, truth) * cost.weight
        for cost in match_costs
    )
    return sum(costs)


def _of_class(scores: Tensor, truth: GroundTruth) -> Tensor:
    """Return each query's score of each object's class, (num_layers, bs, G, nq)."""
    num_layers, _, nq, _ = scores.shape
    index = truth.labels[..., None].expand(num_layers, -1, -1, nq)
    return scores.transpose(2, 3).gather(2, index)
