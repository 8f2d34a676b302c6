"""Operations that the host has, done sooner: the same numbers but for rounding."""

from .attention import CPUAttentionHook, EmbeddingBagAttention, set_cpu_attention
from .detector_mixin import CPUAttentionMixin
from .weighted_rows import deformable_attention

__all__ = [
    'CPUAttentionHook',
    'CPUAttentionMixin',
    'EmbeddingBagAttention',
    'deformable_attention',
    'set_cpu_attention',
]
