"""Encoder memory + stride-4 backbone feature -> one embedding per pixel of stride 4.

Called by `MaskBranch`, whose dot products with queries are mask logits. What an image
yields does not depend on the images it is batched with.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, xavier_init
from torch import Tensor, nn

# Pixels per cell, in both directions.
STRIDE = 4


def cells(shape: Sequence[int], stride: int = STRIDE) -> tuple[int, int]:
    """Return (h, w), the cells that cover an image of `shape` (height, width)."""
    height, width = shape[:2]
    # Without a negative number, which ONNX would round the other way.
    return (height + stride - 1) // stride, (width + stride - 1) // stride


def valid_map(sizes: list[tuple[int, int]], like: Tensor) -> Tensor:
    """Return 1 on the image, 0 on padding, (bs, 1, h, w), as `like` (bs, dim, h, w).

    Args:
        sizes: Cells (h, w) of each image.
    """
    height, width = like.shape[-2:]
    sizes = torch.tensor(sizes, device=like.device)
    rows = torch.arange(height, device=like.device) < sizes[:, :1]
    columns = torch.arange(width, device=like.device) < sizes[:, 1:]
    return (rows[:, None, :, None] & columns[:, None, None, :]).type_as(like)


def enlarge(level: Tensor, valid: Tensor, factor: int) -> Tensor:
    """Upsample bilinearly; padding adds nothing, and its cells become 0.

    By a whole factor: with a target size, the source of a cell would depend on how far
    the batch is padded.

    Shapes:
        level: (bs, dim, h, w)
        valid: (bs, 1, h, w), 1 on the image
        returns: (bs, dim, factor * h, factor * w)
    """
    options = dict(scale_factor=factor, mode='bilinear', align_corners=False)
    total = F.interpolate(level * valid, **options)
    return total / F.interpolate(valid, **options).clamp(min=1e-6)


class PixelEmbedding(BaseModule):
    """Adds the upsampled finest encoder level to the projected backbone feature.

    The sum of a 1x1 convolution (with LayerNorm over channels) and the memory passes a
    ReLU and one 3x3 convolution. No norm here looks at more than one pixel: over a
    whole map, statistics would depend on the padding.

    Args:
        in_channels: Width of the backbone's feature of stride 4.
        embed_dims: Width `dim` of the memory and of the embedding.

    Shapes:
        memory: (bs, num_tokens, dim), the finest level's h * w tokens first
        level_size: (h, w) of that level, plain ints
        feature: (bs, in_channels, h_4, w_4), the backbone's at stride 4
        img_shapes: (height, width) of each image in pixels, without padding
        output: (bs, dim, h_4, w_4); what it has on padding means nothing
    """

    def __init__(self, in_channels: int, embed_dims: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(in_channels, embed_dims, 1)
        self.lateral_norm = nn.LayerNorm(embed_dims)
        self.output = nn.Conv2d(embed_dims, embed_dims, 3, padding=1)

    def init_weights(self) -> None:
        super().init_weights()
        for conv in (self.lateral, self.output):
            xavier_init(conv, distribution='uniform')

    def forward(
        self,
        memory: Tensor,
        level_size: tuple[int, int],
        feature: Tensor,
        img_shapes: list[tuple[int, int]],
    ) -> Tensor:
        height, width = level_size
        level = (
            memory[:, : height * width].transpose(1, 2).unflatten(2, (height, width))
        )
        # 2 for levels from stride 8 on, 1 where the encoder has stride 4 itself.
        factor = (feature.shape[-2] + height - 1) // height
        sizes = [cells(shape, STRIDE * factor) for shape in img_shapes]
        level = enlarge(level, valid_map(sizes, level), factor)
        level = level[..., : feature.shape[-2], : feature.shape[-1]]

        lateral = self.lateral(feature).permute(0, 2, 3, 1)
        lateral = self.lateral_norm(lateral).permute(0, 3, 1, 2)
        valid = valid_map([cells(shape) for shape in img_shapes], level)
        return self.output(F.relu(lateral + level) * valid)
