"""Room 4: queries + pixels -> instance masks (PaQ-DETR Sec. 4.6, Table 8)."""

from .detector_mixin import MaskBranchMixin
from .head_mixin import QueryKeepingDETRHead
from .mask_branch import MaskBranch
from .pixel_embedding import PixelEmbedding

__all__ = [
    'MaskBranch',
    'MaskBranchMixin',
    'PixelEmbedding',
    'QueryKeepingDETRHead',
]
