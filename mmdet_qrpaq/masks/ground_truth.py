"""Masks of the objects of a batch. Called by `MaskBranch` and `MaskBranchMixin`."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from ..errors import ConfigError


def require_masks(batch_gt_instances: list[InstanceData]) -> None:
    """Refuse objects without masks.

    Raises:
        ConfigError: If the training pipeline loads no masks.
    """
    for instances in batch_gt_instances:
        if 'masks' not in instances:
            raise ConfigError(
                'mask_branch is set and the training pipeline loads no masks: give its '
                'LoadAnnotations with_mask=True '
                '(train_dataloader.dataset.pipeline).'
            )


def without_masks(sample: DetDataSample) -> DetDataSample:
    """Return the same objects without masks: a two-stage host copies all it gets."""
    plain = sample.new()
    plain.gt_instances = sample.gt_instances.new()
    del plain.gt_instances.masks
    return plain


def read_masks(
    batch_gt_instances: list[InstanceData],
    start: int,
    stop: int,
    size: tuple[int, int],
    device: torch.device,
) -> Tensor:
    """Return the masks of the objects `start` up to `stop` of each image.

    Args:
        batch_gt_instances: With mmdet's `BitmapMasks` or `PolygonMasks` as `masks`.
        size: (height, width) in pixels, at least that of the largest image.

    Shapes:
        returns: (bs, stop - start, height, width) float32; 1 on the object, 0 beside
            it, on padding and for objects that an image does not have
    """
    bs, count = len(batch_gt_instances), stop - start
    masks = torch.zeros(bs, count, *size, dtype=torch.uint8, device=device)
    for row, instances in zip(masks, batch_gt_instances, strict=True):
        wanted = np.arange(start, min(stop, len(instances)))
        if len(wanted):
            part = instances.masks[wanted].to_ndarray()
            height, width = part.shape[1:]
            row[: len(part), :height, :width] = torch.from_numpy(part).to(device)
    return masks.float()
