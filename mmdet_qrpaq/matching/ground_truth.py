"""The objects of a batch as tensors: what costs, assignments and losses read."""

from typing import NamedTuple

import numpy as np
import torch
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData
from torch import Tensor


class GroundTruth(NamedTuple):
    """Objects of a batch, padded to the same number per image, at least one.

    Shapes:
        boxes: (bs, G, 4) as (cx, cy, w, h), normalised to [0, 1]
        pixels: (bs, G, 4) as (x1, y1, x2, y2), in pixels
        labels: (bs, G) int64
        valid: (bs, G) bool, False = padding
        scale: (bs, 4) width, height, width, height of each image in pixels
        instances, metas: what they were made of, image by image
    """

    boxes: Tensor
    pixels: Tensor
    labels: Tensor
    valid: Tensor
    scale: Tensor
    instances: list[InstanceData]
    metas: list[dict]

    @property
    def counts(self) -> list[int]:
        """Objects of each image, known without asking the device."""
        return [len(objects) for objects in self.instances]


def pad_ground_truth(
    batch_gt_instances: list[InstanceData], batch_img_metas: list[dict]
) -> GroundTruth:
    """Normalise and pad the objects of a batch."""
    counts = [len(objects) for objects in batch_gt_instances]
    place, valid = places(counts)
    device = batch_gt_instances[0].labels.device
    place, valid = place.to(device), valid.to(device)
    boxes = [objects.bboxes for objects in batch_gt_instances]
    labels = [objects.labels for objects in batch_gt_instances]
    # What padding points at.
    pixels = torch.cat([*boxes, boxes[0].new_zeros(1, 4)])[place]
    labels = torch.cat([*labels, labels[0].new_zeros(1)])[place]
    scale = box_scale(batch_img_metas).to(pixels)
    return GroundTruth(
        boxes=bbox_xyxy_to_cxcywh(pixels / scale[:, None]),
        pixels=pixels,
        labels=labels,
        valid=valid,
        scale=scale,
        instances=batch_gt_instances,
        metas=batch_img_metas,
    )


def places(counts: list[int]) -> tuple[Tensor, Tensor]:
    """Return where padded objects stand in the list of all, and which are none.

    Shapes:
        returns: (bs, G) int64, one behind the list for padding; (bs, G) bool
    """
    number = np.arange(max(1, *counts))
    counts = np.array(counts)[:, None]
    valid = number < counts
    place = np.where(valid, counts.cumsum(0) - counts + number, counts.sum())
    return torch.from_numpy(place), torch.from_numpy(valid)


def box_scale(batch_img_metas: list[dict]) -> Tensor:
    """Return what normalised boxes are multiplied by, (bs, 4), on the host."""
    return torch.tensor([meta['img_shape'][1::-1] * 2 for meta in batch_img_metas])
