"""DN-Deformable-DETR as host: DAB-Deformable-DETR with plain denoising queries."""

import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.models.layers import CdnQueryGenerator
from mmdet.registry import MODELS
from torch import Tensor

from ..masks import QueryKeepingDETRHead
from ..matching import BatchedDINOLossesMixin
from ..quality import QualityAwareDETRHead
from ..routing import EnteringDETRHead
from .dab_deformable_detr import DABDeformableDETR
from .methods import DINOMethods


class PlainDenoising(CdnQueryGenerator):
    """DINO's denoising queries without the negative half of each group.

    Settings are mmdet's. `group_cfg.num_dn_queries` now counts what is left: up to as
    many queries, or one group where an image has more objects. A label is redrawn
    from all classes with probability `label_noise_scale / 2`; a corner moves by up
    to `box_noise_scale / 2` of the box's width and height.

    Shapes:
        returns: content (bs, G * num_groups, dim), boxes (bs, G * num_groups, 4) as
            inverse sigmoid of normalised (cx, cy, w, h), mask (all, all), `dn_meta`;
            G is the batch's largest number of objects, an image's own come first
    """

    def __call__(self, batch_data_samples: list) -> tuple[Tensor, Tensor, Tensor, dict]:
        labels, boxes, mask, meta = super().__call__(batch_data_samples)
        total, groups = meta['num_denoising_queries'], meta['num_denoising_groups']
        index = torch.arange(len(mask), device=mask.device)
        # Each group is its positives, then as many negatives.
        halves = index[:total].view(groups, 2, total // (2 * groups))
        plain = halves[:, 0].flatten()
        kept = torch.cat((plain, index[total:]))
        meta = dict(num_denoising_queries=len(plain), num_denoising_groups=groups)
        return labels[:, plain], boxes[:, plain], mask[kept][:, kept], meta


@MODELS.register_module()
class DNDeformableDETR(DABDeformableDETR):
    """Two-stage DN-Deformable-DETR: plain denoising, no negatives, no contrast.

    Args:
        dn_cfg: Settings of `PlainDenoising`, as DINO's.

    Paper vs here:
        PaQ-DETR Table 1 has 'DN-DETR++', re-implemented in a way it does not describe;
        for what is not denoising see `DABDeformableDETR`. The original (arXiv
        2203.01305) denoises in 5 groups, redraws a label with probability 0.2 and moves
        a box's centre by up to 0.2 and its size by up to 0.4 of its size. mmdet's noise
        has the same bounds at scales of 0.4, but is drawn per corner. The original also
        marks denoising queries by an extra channel; here nothing does, as in DINO.
    """

    def __init__(self, *args, dn_cfg: dict, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.dn_query_generator = PlainDenoising(
            num_classes=self.bbox_head.num_classes,
            embed_dims=self.embed_dims,
            num_matching_queries=self.num_queries,
            **dn_cfg,
        )


@MODELS.register_module()
class DNDeformableDETRHead(DINOHead):
    """mmdet's `DINOHead` for denoising queries that all have an object."""

    def _get_dn_targets_single(self, *args, **kwargs) -> tuple:
        """Return DINO's, and nothing to learn for what pads an image of fewer objects.

        The host would teach the padding 'no object', as it does its negatives.
        """
        labels, _, box_targets, box_weights, positive, negative = (
            super()._get_dn_targets_single(*args, **kwargs)
        )
        has_object = box_weights[:, 0]
        return labels, has_object, box_targets, box_weights, positive, negative[:0]


@MODELS.register_module()
class QRPaQDNDeformableDETR(DINOMethods, DNDeformableDETR):
    """`DNDeformableDETR` plus what `QRPaQDINO` adds to its host."""


@MODELS.register_module()
class QualityAwareDNDeformableDETRHead(
    BatchedDINOLossesMixin,
    DNDeformableDETRHead,
    QualityAwareDETRHead,
    EnteringDETRHead,
    QueryKeepingDETRHead,
):
    """`DNDeformableDETRHead` plus `quality` (see `QualityAwareDETRHead`)."""
