"""The only join between the rooms and mmdet: one detector and one head per host."""

from .conditional_detr import QRPaQConditionalDETR, QualityAwareConditionalDETRHead
from .dab_deformable_detr import (
    DABDeformableDETR,
    DABDeformableDETRHead,
    QRPaQDABDeformableDETR,
    QualityAwareDABDeformableDETRHead,
)
from .dab_detr import QRPaQDABDETR, QualityAwareDABDETRHead
from .deformable_detr import QRPaQDeformableDETR, QualityAwareDeformableDETRHead
from .deformable_detr_pp import DeformableDETRPP, QRPaQDeformableDETRPP
from .dino import QRPaQDINO, QualityAwareDINOHead
from .dn_deformable_detr import (
    DNDeformableDETR,
    DNDeformableDETRHead,
    QRPaQDNDeformableDETR,
    QualityAwareDNDeformableDETRHead,
)

__all__ = [
    'DABDeformableDETR',
    'DABDeformableDETRHead',
    'DNDeformableDETR',
    'DNDeformableDETRHead',
    'DeformableDETRPP',
    'QRPaQConditionalDETR',
    'QRPaQDABDETR',
    'QRPaQDABDeformableDETR',
    'QRPaQDINO',
    'QRPaQDNDeformableDETR',
    'QRPaQDeformableDETR',
    'QRPaQDeformableDETRPP',
    'QualityAwareConditionalDETRHead',
    'QualityAwareDABDETRHead',
    'QualityAwareDABDeformableDETRHead',
    'QualityAwareDINOHead',
    'QualityAwareDNDeformableDETRHead',
    'QualityAwareDeformableDETRHead',
]
