"""The settings of `quality` and `hybrid_branch`, checked when a model is built."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ..errors import ConfigError, check_choice, check_names, check_number

CHOICES = dict(normalizer=('num_pos', 'num_gt'), hungarian=('joins', 'replaces'))


@dataclass(frozen=True)
class QualitySettings:
    """What a config says under `bbox_head.quality`.

    Args:
        num_layers: Decoder layers that the head serves, infinite if it cannot tell.
        assigner: Config of a `QualityAwareAssigner`.
        layers: Which layers get L_1:m: `'intermediate'` (all but the last, the
            paper's), `'all'`, or a list of layer indices, 0 the first.
        normalizer: `'num_pos'` or `'num_gt'`, what the losses of a layer are
            divided by.
        loss_cls: Config of another classification loss for L_1:m than the head's
            `loss_cls`, which is taken without it.
        hungarian: What becomes of the one-to-one losses of those layers: L_1:m
            `'joins'` them (Eq. 9 has L_aux beside L_1:m) or `'replaces'` them
            (Sec. 3.3: one-to-one 'in the final layer').

    Raises:
        ConfigError: If a setting is not one of these.
    """

    num_layers: float
    assigner: dict = field(default_factory=dict)
    layers: str | Sequence[int] = 'intermediate'
    normalizer: str = 'num_pos'
    loss_cls: dict | None = None
    hungarian: str = 'joins'

    @classmethod
    def from_config(cls, config: dict, num_layers: float) -> 'QualitySettings':
        """Build the settings; refuse names that are not settings."""
        check_names('bbox_head.quality', config, [f.name for f in fields(cls)][1:])
        return cls(num_layers, **config)

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            check_choice(f'bbox_head.quality.{name}', getattr(self, name), known)
        if self.layers not in ('intermediate', 'all'):
            self._check_listed_layers()
        if math.isfinite(self.num_layers):
            self.chosen_layers(self.num_layers)

    def _check_listed_layers(self) -> None:
        if not isinstance(self.layers, list | tuple) or not self.layers:
            raise ConfigError(
                f'bbox_head.quality.layers is {self.layers!r}: set it to '
                "'intermediate', 'all' or a list of decoder layer indices "
                '(quality=None is off).'
            )
        for layer in self.layers:
            check_number(
                'bbox_head.quality.layers',
                layer,
                0,
                self.num_layers - 1,
                whole=True,
                hint='0 is the first decoder layer',
            )

    def chosen_layers(self, num_layers: int) -> list[int]:
        """Return the indices of the decoder layers that get L_1:m.

        Raises:
            ConfigError: There is no layer of an index that was asked for, or none
                is left with one-to-one losses for the predictions.
        """
        if self.layers == 'intermediate':
            return list(range(num_layers - 1))
        chosen = range(num_layers) if self.layers == 'all' else sorted(set(self.layers))
        if chosen[-1] >= num_layers:
            raise ConfigError(
                f'bbox_head.quality.layers has {chosen[-1]}, and the decoder has '
                f'{num_layers} layers; 0 is the first.'
            )
        if self.hungarian == 'replaces' and chosen[-1] == num_layers - 1:
            raise ConfigError(
                f'bbox_head.quality.layers is {self.layers!r} and hungarian is '
                "'replaces', which would leave the last layer without one-to-one "
                "losses: set layers to 'intermediate'."
            )
        return list(chosen)


@dataclass(frozen=True)
class HybridSettings:
    """What a config says under `hybrid_branch`.

    Args:
        num_queries: Extra queries (N_h; the paper: 1500).
        num_repeats: How often each object is there for them (k; the paper: 6).

    Raises:
        ConfigError: If a setting is not one of these.
    """

    num_queries: int = 1500
    num_repeats: int = 6

    @classmethod
    def from_config(cls, config: dict) -> 'HybridSettings':
        """Build the settings; refuse names that are not settings."""
        check_names('hybrid_branch', config, [f.name for f in fields(cls)])
        return cls(**config)

    def __post_init__(self) -> None:
        for entry in fields(self):
            name, hint = f'hybrid_branch.{entry.name}', f'the paper: {entry.default}'
            check_number(name, getattr(self, entry.name), 1, whole=True, hint=hint)
