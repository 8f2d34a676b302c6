"""Lets a detector choose how its deformable attention runs on a CPU."""

from .attention import set_cpu_attention


class CPUAttentionMixin:
    """Adds `cpu_attention` to a detector; without deformable attention it does nothing.

    Args:
        cpu_attention: See `set_cpu_attention`; `'grid_sample'` leaves the host as it
            is, bit for bit.

    Raises:
        ConfigError: If it is neither of the two.
    """

    def __init__(self, *args, cpu_attention: str = 'embedding_bag', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        set_cpu_attention(self, cpu_attention)
