"""Room 1: encoder memory -> content queries (PaQ-DETR Sec. 3.2, Eq. 4-5 and 8)."""

from .detector_mixin import PatternQueryMixin
from .diversity_loss import pattern_diversity
from .feature_fusion import MaskedFeatureFusion
from .pattern_queries import PatternQueryGenerator
from .static_content import StaticContent
from .weight_generator import PatternWeightGenerator

__all__ = [
    'MaskedFeatureFusion',
    'PatternQueryGenerator',
    'PatternQueryMixin',
    'PatternWeightGenerator',
    'StaticContent',
    'pattern_diversity',
]
