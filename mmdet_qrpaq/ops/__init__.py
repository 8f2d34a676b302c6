"""Operations that the host has, done sooner: the same numbers but for rounding."""

from .attention import EmbeddingBagAttention, set_cpu_attention
from .feedforward import HiddenReLU, mend_feedforward
from .fused_attention import FusedAttention, set_fused_attention
from .speed_up import FasterAttentionHook, FasterAttentionMixin, speed_up
from .weighted_rows import deformable_attention

__all__ = [
    'EmbeddingBagAttention',
    'FasterAttentionHook',
    'FasterAttentionMixin',
    'FusedAttention',
    'HiddenReLU',
    'deformable_attention',
    'mend_feedforward',
    'set_cpu_attention',
    'set_fused_attention',
    'speed_up',
]
