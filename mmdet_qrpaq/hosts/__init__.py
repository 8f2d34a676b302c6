"""The only join between the rooms and mmdet: one detector and one head per host."""

from .conditional_detr import QRPaQConditionalDETR, QualityAwareConditionalDETRHead
from .dab_detr import QRPaQDABDETR, QualityAwareDABDETRHead
from .deformable_detr import QRPaQDeformableDETR, QualityAwareDeformableDETRHead
from .dino import QRPaQDINO, QualityAwareDINOHead

__all__ = [
    'QRPaQConditionalDETR',
    'QRPaQDABDETR',
    'QRPaQDINO',
    'QRPaQDeformableDETR',
    'QualityAwareConditionalDETRHead',
    'QualityAwareDABDETRHead',
    'QualityAwareDINOHead',
    'QualityAwareDeformableDETRHead',
]
