"""DAB-Deformable-DETR as host: mmdet has none, and its DINO has all of its parts."""

from mmdet.models.dense_heads import DINOHead
from mmdet.registry import MODELS
from torch import Tensor, nn

from ..errors import ConfigError
from ..masks import QueryKeepingDETRHead
from ..matching import BatchedDINOLossesMixin
from ..patterns.detector_mixin import UnusedEmbedding
from ..quality import QualityAwareDETRHead
from ..routing import EnteringDETRHead
from .dino import MendedDINO
from .methods import DINOMethods


class NoDenoising(nn.Module):
    """Replaces DINO's generator of denoising queries, and makes none.

    Shapes:
        returns: content (bs, 0, dim), boxes (bs, 0, 4), no mask, no `dn_meta`
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        # DINO adds 0 times its weight where an image count happens to be `num_queries`.
        self.label_embedding = UnusedEmbedding(nn.Embedding(1, embed_dims))

    def forward(self, batch_data_samples: list) -> tuple[Tensor, Tensor, None, None]:
        bs, dim = len(batch_data_samples), self.label_embedding.weight.shape[1]
        boxes = batch_data_samples[0].gt_instances.bboxes
        return boxes.new_zeros(bs, 0, dim), boxes.new_zeros(bs, 0, 4), None, None


@MODELS.register_module()
class DABDeformableDETR(MendedDINO):
    """Two-stage DAB-Deformable-DETR: anchors (x, y, w, h) with learned content.

    mmdet's `DINO` without denoising and without 'look forward twice': the box losses of
    a layer do not reach the boxes it starts from. Arguments are DINO's, without
    `dn_cfg`.

    Raises:
        ConfigError: If `dn_cfg` is given.

    Paper vs here:
        PaQ-DETR Table 1 has 'DAB-DETR++', re-implemented in a way it does not describe.
        Here anchors are the encoder's best proposals and content is learned, as in
        DINO; with `pattern_query` the content comes from patterns anyhow. The
        original (arXiv 2201.12329) learns its anchors, and scales the positional query
        by the content after the first layer. As there and in Deformable-DETR, no norm
        stands before the heads, so a layer refines the very boxes it is judged by.
    """

    def __init__(self, *args, dn_cfg: dict | None = None, **kwargs) -> None:
        if dn_cfg is not None:
            raise ConfigError(
                'DAB-Deformable-DETR has no denoising queries and dn_cfg is set: set '
                'it to None, or take DNDeformableDETR.'
            )
        # DINO requires a generator of denoising queries; it is replaced below.
        unused = dict(group_cfg=dict(num_dn_queries=1))
        super().__init__(*args, dn_cfg=unused, **kwargs)
        self.dn_query_generator = NoDenoising(self.embed_dims)
        # DINO predicts boxes after this norm and refines them before it, which only
        # 'look forward twice' trains.
        self.decoder.norm = nn.Identity()

    def forward_decoder(self, *args, **kwargs) -> dict:
        """Decode as DINO does; heads refine references that pass no gradient on."""
        outputs = super().forward_decoder(*args, **kwargs)
        outputs['references'] = [box.detach() for box in outputs['references']]
        return outputs


@MODELS.register_module()
class DABDeformableDETRHead(DINOHead):
    """mmdet's `DINOHead`, which also does without denoising queries."""

    @staticmethod
    def split_outputs(
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        dn_meta: dict[str, int] | None,
    ) -> tuple[Tensor | None, ...]:
        """Split as DINO does, whose own case for None reads from it first."""
        if dn_meta is None:
            return all_layers_cls_scores, all_layers_bbox_preds, None, None
        return DINOHead.split_outputs(
            all_layers_cls_scores, all_layers_bbox_preds, dn_meta
        )


@MODELS.register_module()
class QRPaQDABDeformableDETR(DINOMethods, DABDeformableDETR):
    """`DABDeformableDETR` plus what `QRPaQDINO` adds to its host."""


@MODELS.register_module()
class QualityAwareDABDeformableDETRHead(
    BatchedDINOLossesMixin,
    DABDeformableDETRHead,
    QualityAwareDETRHead,
    EnteringDETRHead,
    QueryKeepingDETRHead,
):
    """`DABDeformableDETRHead` plus `quality` (see `QualityAwareDETRHead`)."""
