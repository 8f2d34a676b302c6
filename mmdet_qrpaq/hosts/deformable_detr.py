"""Deformable-DETR as host: one-stage, with box refinement, two-stage."""

from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.models.detectors import DeformableDETR
from mmdet.registry import MODELS

from ..patterns import PatternQueryMixin
from ..quality import QualityAwareDETRHead
from ..routing import QueryRoutingMixin


@MODELS.register_module()
class QRPaQDeformableDETR(QueryRoutingMixin, PatternQueryMixin, DeformableDETR):
    """mmdet's `DeformableDETR` plus ``query_routing`` and ``pattern_query``."""


@MODELS.register_module()
class QualityAwareDeformableDETRHead(DeformableDETRHead, QualityAwareDETRHead):
    """mmdet's `DeformableDETRHead` plus ``quality`` (see `QualityAwareDETRHead`)."""
