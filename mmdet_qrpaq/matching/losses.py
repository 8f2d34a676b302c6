"""Losses of all layers at once, a mean for each layer (PaQ-DETR Eq. 2-3)."""

from typing import NamedTuple

import torch
from mmdet.models.losses import (
    CIoULoss,
    CrossEntropyLoss,
    DIoULoss,
    FocalLoss,
    GIoULoss,
    IoULoss,
    L1Loss,
    QualityFocalLoss,
    SmoothL1Loss,
)
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from .class_losses import focal_loss
from .ground_truth import GroundTruth
from .hungarian import Matches

ELEMENTWISE = (
    *(CrossEntropyLoss, FocalLoss, QualityFocalLoss),
    *(L1Loss, SmoothL1Loss),
    *(IoULoss, GIoULoss, DIoULoss, CIoULoss),
)
# What mmdet adds to each divisor.
EPS = torch.finfo(torch.float32).eps


class Targets(NamedTuple):
    """What the queries of all layers learn; the others learn 'no object'.

    Shapes:
        query: (M,) int64, index among the num_layers * bs * nq queries
        labels: (M,) int64
        boxes: (M, 4) as (cx, cy, w, h), normalised to [0, 1]
        scale: (bs, 4) width, height, width, height of each image in pixels
        weights: (num_layers * bs * nq,) of the classification, None = 1
    """

    query: Tensor
    labels: Tensor
    boxes: Tensor
    scale: Tensor
    weights: Tensor | None = None

    @classmethod
    def of_matches(
        cls, matches: Matches, truth: GroundTruth, supervised: Tensor | None = None
    ) -> 'Targets':
        """Return what matched queries learn; those not supervised learn nothing."""
        return cls(
            query=matches.query,
            labels=truth.labels.flatten()[matches.object],
            boxes=truth.boxes.flatten(0, 1)[matches.object],
            scale=truth.scale,
            weights=None if supervised is None else supervised.flatten().float(),
        )


def are_elementwise(*losses: nn.Module) -> bool:
    """Tell whether each is known to be the mean of what it gives without reduction."""
    return all(
        loss.reduction == 'mean'
        and (type(loss) in ELEMENTWISE or getattr(loss, 'elementwise', False))
        for loss in losses
    )


def losses_of_layers(
    head: nn.Module,
    cls_scores: Tensor,
    bbox_preds: Tensor,
    targets: Targets,
    loss_cls: nn.Module | None = None,
    num_pos: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses of class, box and IoU of each layer, in single precision.

    Args:
        head: Has the three losses of a DETR head of mmdet.
        loss_cls: In place of the head's.
        num_pos: What a layer is divided by, in place of its targets' number.

    Shapes:
        cls_scores: (num_layers, bs, nq, num_classes [+ 1]) logits
        bbox_preds: (num_layers, bs, nq, 4) as (cx, cy, w, h), normalised
        num_pos: (num_layers,)
        returns: (num_layers,) each
    """
    num_layers, bs, nq = cls_scores.shape[:3]
    query, index = targets.query, torch.arange(num_layers, device=targets.query.device)
    of_layer = query // (bs * nq) == index[:, None]
    if num_pos is None:
        num_pos = of_layer.sum(1)
    num_pos = num_pos.float()
    mean_pos = reduce_mean(num_pos)
    cls_factor = mean_pos if head.sync_cls_avg_factor else num_pos
    boxes = bbox_preds.flatten(0, 2).index_select(0, query).float()
    corners = bbox_cxcywh_to_xyxy(boxes)
    target_corners = bbox_cxcywh_to_xyxy(targets.boxes)

    logits = cls_scores.flatten(0, 2).float()
    labels = query.new_full((len(logits),), head.num_classes)
    labels = labels.scatter(0, query, targets.labels)
    loss_cls = loss_cls or head.loss_cls
    if isinstance(loss_cls, QualityFocalLoss):
        iou = bbox_overlaps(corners.detach(), target_corners, is_aligned=True)
        labels = (labels, logits.new_zeros(len(logits)).scatter(0, query, iou))
    each = elements(loss_cls, logits, labels, targets.weights)
    each = each.view(num_layers, bs * nq, *each.shape[1:]).flatten(1)
    mean_cls = each.sum(1) / (cls_factor.clamp(min=1) + EPS)
    if not len(query):
        nothing = 0 * bbox_preds.float().flatten(1).sum(1)
        return mean_cls, nothing, nothing

    scale = targets.scale[query // nq % bs]
    each_l1 = head.loss_bbox(boxes, targets.boxes, reduction_override='none').sum(1)
    each_iou = head.loss_iou(
        corners * scale, target_corners * scale, reduction_override='none'
    )
    each = torch.stack((each_l1, each_iou))[:, None]
    total = torch.where(of_layer, each, 0).sum(-1)
    return mean_cls, *(total / (mean_pos.clamp(min=1) + EPS))


def elements(
    loss_cls: nn.Module, logits: Tensor, labels: object, weights: Tensor | None
) -> Tensor:
    """Return the class loss of each element; the focal loss of mmdet, made leaner.

    On CUDA mmdet has a kernel for it.
    """
    plain = type(loss_cls) is FocalLoss and not loss_cls.activated
    if logits.is_cuda or not plain:
        return loss_cls(logits, labels, weights, reduction_override='none')
    loss = loss_cls.loss_weight * focal_loss(
        logits, labels, loss_cls.alpha, loss_cls.gamma
    )
    return loss if weights is None else loss * weights[:, None]
