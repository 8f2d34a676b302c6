"""Assignment -> training targets, for all images and layers at once.

Called by `QualityAwareDETRHead`, feeds the loss of the host's head.
"""

from typing import NamedTuple

import torch
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class GroundTruth(NamedTuple):
    """Objects of a batch, padded to the same number per image, at least one.

    Shapes:
        boxes: (bs, G, 4) as (cx, cy, w, h), normalised to [0, 1]
        labels: (bs, G) int64
        valid: (bs, G) bool, False = padding
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor


def pad_ground_truth(
    batch_gt_instances: list[InstanceData], batch_img_metas: list[dict]
) -> GroundTruth:
    """Normalise and pad the objects of a batch."""
    boxes = [gts.bboxes for gts in batch_gt_instances]
    labels = [gts.labels for gts in batch_gt_instances]
    lengths = torch.tensor([len(item) for item in labels], device=labels[0].device)
    # A last image with one object, dropped again, keeps G from being 0.
    boxes = pad_sequence([*boxes, boxes[0].new_zeros(1, 4)], batch_first=True)[:-1]
    labels = pad_sequence([*labels, labels[0].new_zeros(1)], batch_first=True)[:-1]
    scale = torch.tensor([meta['img_shape'][1::-1] * 2 for meta in batch_img_metas])
    boxes = bbox_xyxy_to_cxcywh(boxes / scale.to(boxes)[:, None])
    valid = torch.arange(labels.shape[1], device=labels.device) < lengths[:, None]
    return GroundTruth(boxes, labels, valid)


class OneToManyTargets(NamedTuple):
    """What `DETRHead.get_targets` returns, for one decoder layer.

    Each list has one tensor for the whole batch, since the loss concatenates them.

    Shapes:
        labels: [(bs * nq,)] int64, num_classes = background
        label_weights: [(bs * nq,)]
        bbox_targets: [(bs * nq, 4)] as (cx, cy, w, h), normalised to [0, 1]
        bbox_weights: [(bs * nq, 4)]
    """

    labels: list[Tensor]
    label_weights: list[Tensor]
    bbox_targets: list[Tensor]
    bbox_weights: list[Tensor]
    num_total_pos: int
    num_total_neg: int


def build_targets(
    assigned: Tensor, ground_truth: GroundTruth, num_classes: int, normalizer: str
) -> list[OneToManyTargets]:
    """Turn an assignment into targets, one entry per decoder layer.

    Args:
        normalizer: Losses are divided by the number of positives (`'num_pos'`) or
            of objects (`'num_gt'`).

    Shapes:
        assigned: (num_layers, bs, nq) int64, -1 = background
    """
    num_layers, _, num_queries = assigned.shape
    positive = assigned >= 0
    index = assigned.clamp(min=0)
    labels = ground_truth.labels.expand(num_layers, -1, -1).gather(2, index)
    labels = labels.masked_fill(~positive, num_classes).flatten(1)
    boxes = ground_truth.boxes.expand(num_layers, -1, -1, -1)
    boxes = boxes.gather(2, index[..., None].expand(-1, -1, -1, 4))
    weights = positive[..., None].expand_as(boxes).to(boxes.dtype)
    boxes = (boxes * weights).flatten(1, 2)
    weights = weights.flatten(1, 2)
    # The only synchronisation: the host's losses divide by Python numbers.
    counts = torch.cat((positive.sum((1, 2)), ground_truth.valid.sum()[None]))
    *num_pos, num_gt = counts.tolist()
    return [
        OneToManyTargets(
            [labels[i]],
            [weights.new_ones(labels[i].shape)],
            [boxes[i]],
            [weights[i]],
            num_total_pos=num_gt if normalizer == 'num_gt' else num_pos[i],
            num_total_neg=labels.shape[1] - num_pos[i],
        )
        for i in range(num_layers)
    ]
