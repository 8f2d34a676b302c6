"""Parts of a detector that fine-tuning leaves as they are.

Set when the detector is built: distributed training asks then which parameters learn.
"""

from collections.abc import Sequence

from torch import nn

from ..errors import ConfigError


class FrozenPartsMixin:
    """Adds `freeze` to a detector.

    Args:
        freeze: Names of parts, as `'backbone'` and `'encoder'`, whose parameters get no
            gradient and which stay in evaluation mode, norms and dropout included.

    Raises:
        ConfigError: If it names something else, or nothing is left to train.
    """

    def __init__(self, *args, freeze: Sequence[str] = (), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        known = [name for name, part in self.named_children() if [*part.parameters()]]
        if isinstance(freeze, str) or (unknown := sorted(set(freeze) - set(known))):
            wrong = repr(freeze if isinstance(freeze, str) else unknown[0])
            raise ConfigError(
                f'model.freeze (--freeze) names {wrong}: give a list of '
                f'{", ".join(known)}.'
            )
        self.freeze = tuple(freeze)
        for name in self.freeze:
            getattr(self, name).requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise ConfigError(
                'model.freeze (--freeze) names all parts with parameters, so that '
                'nothing is left to train: leave one out.'
            )

    def train(self, mode: bool = True) -> nn.Module:
        """Set the mode of all other parts."""
        super().train(mode)
        for name in getattr(self, 'freeze', ()):
            getattr(self, name).eval()
        return self
