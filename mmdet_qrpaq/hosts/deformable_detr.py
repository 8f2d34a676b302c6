"""Deformable-DETR as host: one-stage, with box refinement, two-stage."""

from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.models.detectors import DeformableDETR
from mmdet.registry import MODELS
from torch import Tensor

from ..masks import QueryKeepingDETRHead
from ..quality import QualityAwareDETRHead
from ..routing import EnteringDETRHead
from .methods import DetectorMethods


@MODELS.register_module()
class QRPaQDeformableDETR(DetectorMethods, DeformableDETR):
    """mmdet's `DeformableDETR` plus the methods.

    `query_routing`, `pattern_query` and `mask_branch`.
    """

    def host_content(self) -> Tensor | None:
        """Return the half of the embedding that is content; see the mixin."""
        if self.as_two_stage:
            return None
        return self.query_embedding.weight[:, self.embed_dims :]


@MODELS.register_module()
class QualityAwareDeformableDETRHead(
    DeformableDETRHead, QualityAwareDETRHead, EnteringDETRHead, QueryKeepingDETRHead
):
    """mmdet's `DeformableDETRHead` plus `quality` (see `QualityAwareDETRHead`)."""
