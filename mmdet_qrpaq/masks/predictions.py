"""Mask logits of the detections of one image -> masks of its size.

Called by `MaskBranch`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .pixel_embedding import STRIDE, cells


def draw_masks(
    embeddings: Tensor,
    pixels: Tensor,
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
    at_once: int,
) -> Tensor:
    """Return masks where the probability exceeds 0.5.

    Logits are cut to the image, enlarged to it, and resized to `out_shape`,
    bilinearly; only `at_once` of them are held at a time.

    Args:
        img_shape: (height, width) of the image that the network saw, no padding.
        out_shape: (height, width) of the masks.

    Shapes:
        embeddings: (n, dim)
        pixels: (dim, h, w), may cover padding
        returns: (n, *out_shape) bool
    """
    height, width = cells(img_shape)
    pixels = pixels[:, :height, :width]
    options = dict(mode='bilinear', align_corners=False)
    masks = torch.empty(
        len(embeddings), *out_shape, dtype=torch.bool, device=pixels.device
    )
    for start in range(0, len(embeddings), at_once):
        part = slice(start, start + at_once)
        logits = torch.einsum('nc,chw->nhw', embeddings[part], pixels).float()[None]
        logits = F.interpolate(logits, scale_factor=STRIDE, **options)
        logits = logits[..., : img_shape[0], : img_shape[1]]
        if tuple(out_shape) != tuple(img_shape):
            logits = F.interpolate(logits, size=tuple(out_shape), **options)
        torch.gt(logits[0], 0, out=masks[part])
    return masks
