"""Pixel embedding, mask embedding and the losses of their dot products.

Called by `MaskBranchMixin`, on what a forward pass and the head leave behind.
"""

import torch
from mmdet.models.layers import MLP
from mmdet.registry import MODELS
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from ..errors import check_number
from .ground_truth import read_masks
from .pixel_embedding import STRIDE, PixelEmbedding
from .point_losses import (
    PointSampling,
    add_up,
    losses_at_points,
    queries_of_objects,
)
from .predictions import draw_masks

# Weights and forms of Mask2Former.
LOSS_MASK = dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=5.0)
LOSS_DICE = dict(type='DiceLoss', naive_dice=True, eps=1.0, loss_weight=5.0)


@MODELS.register_module()
class MaskBranch(BaseModule):
    """Instance masks as dot products of queries and pixels (PaQ-DETR Sec. 4.6).

    Args:
        in_channels: Width of the backbone's feature of stride 4; the detector sets it.
        embed_dims: Width `dim` of queries and memory; the detector sets it.
        loss_mask: Loss of mmdet on sigmoid logits, e.g. `CrossEntropyLoss` (default)
            or `FocalLoss`.
        loss_dice: The same, on whole masks: a `DiceLoss`.
        num_points: Points at which a mask is compared; Mask2Former: 12544.
        oversample_ratio: See `PointSampling`; Mask2Former: 3.
        importance_sample_ratio: See `PointSampling`; Mask2Former: 0.75.
        at_once: Objects of each image (training) or detections (testing) whose
            masks are held at a time. Bounds the memory; of the losses it changes
            nothing but the draw of the points, of predictions nothing.

    Raises:
        ConfigError: If a number is out of its range.

    Paper vs here:
        The paper names no head ('an additional mask prediction head') and no losses.
        This is the form of Mask2Former without its masked attention: a query's
        embedding is a three-layer MLP of its hidden state, shared by all decoder
        layers, and losses, weights and points are Mask2Former's.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int = 256,
        loss_mask: dict = LOSS_MASK,
        loss_dice: dict = LOSS_DICE,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_sample_ratio: float = 0.75,
        at_once: int = 16,
    ) -> None:
        super().__init__()
        for name, value, limits, whole, hint in (
            ('num_points', num_points, (1,), True, 'Mask2Former: 12544'),
            ('oversample_ratio', oversample_ratio, (1,), False, 'Mask2Former: 3'),
            (
                'importance_sample_ratio',
                importance_sample_ratio,
                (0, 1),
                False,
                'Mask2Former: 0.75',
            ),
            ('at_once', at_once, (1,), True, '16 unless memory is short'),
        ):
            check_number(f'mask_branch.{name}', value, *limits, whole=whole, hint=hint)
        self.sampling = PointSampling(
            num_points, oversample_ratio, importance_sample_ratio
        )
        self.at_once = at_once
        self.pixel_embedding = PixelEmbedding(in_channels, embed_dims)
        self.mask_embedding = MLP(embed_dims, embed_dims, embed_dims, num_layers=3)
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_dice = MODELS.build(loss_dice)

    def forward(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """Return stride-4 logits; (bs, nq, dim), (bs, dim, h, w) -> (bs, nq, h, w)."""
        return torch.einsum('bqc,bchw->bqhw', self.mask_embedding(queries), pixels)

    def loss(
        self,
        hidden_states: Tensor,
        pixels: Tensor,
        matches: Tensor,
        batch_gt_instances: list[InstanceData],
    ) -> dict[str, Tensor]:
        """Return the losses of the matched queries of every decoder layer.

        Divided by the number of matched queries of a layer, averaged over devices.

        Shapes:
            hidden_states: (num_layers, bs, nq, dim), of the matching queries
            pixels: (bs, dim, h, w)
            matches: (num_layers, bs, nq) int64, the object of each query, -1 if none
        """
        # One at least: without any object the parameters still get a gradient.
        num_objects = max(1, *map(len, batch_gt_instances))
        queries = queries_of_objects(matches, num_objects)
        matched = queries >= 0
        num_masks = reduce_mean(matched.sum((1, 2)).float()).clamp(min=1)
        index = queries.clamp(min=0)[..., None].expand(-1, -1, -1, pixels.shape[1])
        embeddings = self.mask_embedding(hidden_states.gather(2, index))
        size = tuple(STRIDE * side for side in pixels.shape[-2:])

        def part(start: int, stop: int) -> Tensor:
            return losses_at_points(
                embeddings[:, :, start:stop],
                pixels,
                matched[:, :, start:stop],
                read_masks(batch_gt_instances, start, stop, size, pixels.device),
                num_masks,
                self.sampling,
                self.loss_mask,
                self.loss_dice,
            )

        losses = {}
        total = add_up(part, num_objects, self.at_once)
        for layer, (loss_mask, loss_dice) in enumerate(total):
            prefix = '' if layer == len(total) - 1 else f'd{layer}.'
            losses[f'{prefix}loss_mask'] = loss_mask
            losses[f'{prefix}loss_dice'] = loss_dice
        return losses

    def predict(
        self, queries: Tensor, pixels: Tensor, img_meta: dict, rescale: bool
    ) -> Tensor:
        """Return the masks of the detections of one image.

        Args:
            rescale: To the size of the file; otherwise to what the network saw.

        Shapes:
            queries: (n, dim), last hidden states
            pixels: (dim, h, w)
            returns: (n, height, width) bool
        """
        img_shape = img_meta['img_shape'][:2]
        out_shape = img_meta['ori_shape'][:2] if rescale else img_shape
        embeddings = self.mask_embedding(queries)
        return draw_masks(embeddings, pixels, img_shape, out_shape, self.at_once)
