"""Room 3: predictions -> targets -> loss (PaQ-DETR Sec. 3.3, Eq. 6-7)."""

from .head_mixin import QualityAwareDETRHead
from .hybrid_mixin import HybridBranchMixin
from .quality_assigner import QualityAwareAssigner
from .varifocal_loss import IoUAwareVarifocalLoss

__all__ = [
    'HybridBranchMixin',
    'IoUAwareVarifocalLoss',
    'QualityAwareAssigner',
    'QualityAwareDETRHead',
]
