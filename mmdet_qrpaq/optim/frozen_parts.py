"""Parts of a detector that fine-tuning leaves as they are.

Set when the detector is built: distributed training asks then which parameters learn.
"""

from collections.abc import Sequence

from torch import nn

from ..errors import ConfigError


class FrozenPartsMixin:
    """Adds `frozen_parts` to a detector.

    Args:
        frozen_parts: Names of parts, as `'backbone'` and `'encoder'`, whose parameters
            get no gradient and which stay in evaluation mode, norms and dropout
            included.

    Raises:
        ConfigError: If it names something else, or nothing is left to train.
    """

    frozen_parts: tuple[str, ...] = ()

    def __init__(self, *args, frozen_parts: Sequence[str] = (), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        parts = [name for name, part in self.named_children() if [*part.parameters()]]
        whole = isinstance(frozen_parts, str)
        unknown = [frozen_parts] if whole else set(frozen_parts) - set(parts)
        if unknown:
            raise ConfigError(
                f'model.frozen_parts (--freeze) names {min(unknown)!r}: give a list of '
                f'{", ".join(parts)}.'
            )
        self.frozen_parts = tuple(frozen_parts)
        for name in self.frozen_parts:
            getattr(self, name).requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise ConfigError(
                'model.frozen_parts (--freeze) names all parts with parameters, and '
                'nothing is left to train: leave one out.'
            )

    def train(self, mode: bool = True) -> nn.Module:
        """Set the mode of all other parts."""
        super().train(mode)
        for name in self.frozen_parts:
            getattr(self, name).eval()
        return self
