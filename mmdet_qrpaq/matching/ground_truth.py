"""The objects of a batch as tensors: what costs, assignments and losses read."""

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
    pixels = [gts.bboxes for gts in batch_gt_instances]
    labels = [gts.labels for gts in batch_gt_instances]
    counts = torch.tensor([len(item) for item in labels])
    # A last image with one object, dropped again, keeps G from being 0.
    pixels = pad_sequence([*pixels, pixels[0].new_zeros(1, 4)], batch_first=True)[:-1]
    labels = pad_sequence([*labels, labels[0].new_zeros(1)], batch_first=True)[:-1]
    scale = box_scale(batch_img_metas).to(pixels)
    return GroundTruth(
        boxes=bbox_xyxy_to_cxcywh(pixels / scale[:, None]),
        pixels=pixels,
        labels=labels,
        valid=(torch.arange(labels.shape[1]) < counts[:, None]).to(labels.device),
        scale=scale,
        instances=batch_gt_instances,
        metas=batch_img_metas,
    )


def box_scale(batch_img_metas: list[dict]) -> Tensor:
    """Return what normalised boxes are multiplied by, (bs, 4), on the host."""
    return torch.tensor([meta['img_shape'][1::-1] * 2 for meta in batch_img_metas])
