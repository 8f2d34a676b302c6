"""The settings of `quality` and `hybrid_branch`, checked when a model is built."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ..errors import ConfigError, check_choice, check_names, check_number

NORMALIZERS = ('num_pos', 'num_gt')


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

    Raises:
        ConfigError: If a setting is not one of these.
    """

    num_layers: float
    assigner: dict = field(default_factory=dict)
    layers: str | Sequence[int] = 'intermediate'
    normalizer: str = 'num_pos'
    loss_cls: dict | None = None

    @classmethod
    def from_config(cls, config: dict, num_layers: float) -> 'QualitySettings':
        """Build the settings; refuse names that are not settings."""
        check_names('bbox_head.quality', config, [f.name for f in fields(cls)][1:])
        return cls(num_layers, **config)

    def __post_init__(self) -> None:
        check_choice('bbox_head.quality.normalizer', self.normalizer, NORMALIZERS)
        if self.layers in ('intermediate', 'all'):
            return
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
            ConfigError: There is no layer of an index that was asked for.
        """
        if self.layers == 'all':
            return list(range(num_layers))
        if self.layers == 'intermediate':
            return list(range(num_layers - 1))
        if (last := max(self.layers)) >= num_layers:
            raise ConfigError(
                f'bbox_head.quality.layers has {last}, and the decoder has '
                f'{num_layers} layers; 0 is the first.'
            )
        return sorted(set(self.layers))


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
