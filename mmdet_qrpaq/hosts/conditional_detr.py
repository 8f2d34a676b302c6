"""Conditional-DETR as host."""

from mmdet.models.dense_heads import ConditionalDETRHead
from mmdet.models.detectors import ConditionalDETR
from mmdet.registry import MODELS

from ..quality import QualityAwareDETRHead
from ..routing import EnteringDETRHead
from .methods import DetectorMethods


@MODELS.register_module()
class QRPaQConditionalDETR(DetectorMethods, ConditionalDETR):
    """mmdet's `ConditionalDETR` plus `query_routing` and `pattern_query`."""


@MODELS.register_module()
class QualityAwareConditionalDETRHead(
    ConditionalDETRHead, QualityAwareDETRHead, EnteringDETRHead
):
    """mmdet's `ConditionalDETRHead` plus `quality` (see `QualityAwareDETRHead`)."""
