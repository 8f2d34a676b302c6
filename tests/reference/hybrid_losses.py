"""The losses of the hybrid branch, query by query, for `tests/hosts`."""

import torch
from mmdet.structures.bbox import (
    bbox_cxcywh_to_xyxy,
    bbox_overlaps,
    bbox_xyxy_to_cxcywh,
)
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment


def hybrid_losses(head, logits, boxes, batch: dict, repeats: int) -> tuple:
    """Losses of one decoder layer, query by query."""
    labels, targets, sizes, rows = [], [], [], []
    for image, sample in enumerate(batch['data_samples']):
        height, width = sample.img_shape
        scale = torch.tensor([width, height, width, height])
        objects = sample.gt_instances
        repeated = [objects[i] for _ in range(repeats) for i in range(len(objects))]
        label = torch.full((len(logits[image]),), head.num_classes)
        if repeated:
            # Costs of the objects as they are; each column is there several times.
            predicted = InstanceData(
                scores=logits[image], bboxes=bbox_cxcywh_to_xyxy(boxes[image]) * scale
            )
            meta = sample.metainfo
            cost = sum(c(predicted, objects, meta) for c in head.assigner.match_costs)
            cost = torch.cat([cost.detach()] * repeats, 1)
            for query, column in zip(*linear_sum_assignment(cost), strict=True):
                label[query] = repeated[column].labels[0]
                targets.append(repeated[column].bboxes[0] / scale)
                sizes.append(scale)
                rows.append((image, query))
        labels.append(label)
    labels, logits = torch.cat(labels), logits.flatten(0, 1)
    with_iou = type(head.loss_cls).__name__ == 'IoUAwareVarifocalLoss'
    if not rows:
        labels = (labels, torch.zeros(len(labels))) if with_iou else labels
        return head.loss_cls(logits, labels, avg_factor=1), *torch.zeros(2)
    sizes, targets = torch.stack(sizes), torch.stack(targets)
    box = torch.stack([boxes[row] for row in rows])
    corners = bbox_cxcywh_to_xyxy(box)
    if with_iou:
        iou = torch.zeros(boxes.shape[:2])
        for i, row in enumerate(rows):
            iou[row] = bbox_overlaps(corners[i : i + 1].detach(), targets[i : i + 1])
        labels = (labels, iou.flatten())
    return (
        head.loss_cls(logits, labels, avg_factor=len(rows)),
        head.loss_bbox(box, bbox_xyxy_to_cxcywh(targets), avg_factor=len(rows)),
        head.loss_iou(corners * sizes, targets * sizes, avg_factor=len(rows)),
    )
