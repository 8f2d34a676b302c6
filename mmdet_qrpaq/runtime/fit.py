"""Whether a checkpoint belongs to a model, said before a run relies on it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mmengine.config import Config
from torch import Tensor, nn

from ..class_name import class_name
from ..errors import ConfigError
from ..presets.lists import type_of
from ..written_config import read_setting

_TRAINING_STATE = ('optimizer', 'message_hub', 'meta')
# In DINO and its relatives, of width d: upstream's mmdet encodes the four numbers of a
# box with d / 2 features each, OneDL's since 3.4.6 with d. This layer tells which.
_BOX_LAYER = 'decoder.ref_point_head.layers.0.weight'
# One exit head for all layers: how query routing trained before each had its own.
_SHARED_EXIT_HEAD = 'exit_heads.head.'
_LINES = {
    2: "OpenMMLab's mmdet (or OneDL's before 3.4.6)",
    4: "OneDL's mmdet (3.4.6 or newer)",
}


@dataclass
class Fit:
    """How the entries of a checkpoint meet those of a model."""

    total: int
    missing: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    other_line: str = ''

    @property
    def loaded(self) -> int:
        """Number of the model's entries that the checkpoint provides."""
        return self.total - len(self.missing) - len(self.reshaped)

    def __str__(self) -> str:
        """Say what differs, e.g. `3 of 90 parameters missing (first a.weight)`."""
        differing = (
            (self.missing, f'of {self.total} parameters missing'),
            (self.reshaped, 'of other shape'),
            (self.unexpected, 'unknown to the model'),
        )
        parts = [f'{len(x)} {what} (first {x[0]})' for x, what in differing if x]
        parts += [self.other_line] * bool(self.other_line)
        return ', '.join(parts) or f'all {self.total} parameters match'


def compare(model: nn.Module, checkpoint: dict) -> Fit:
    """Compare names and shapes of a checkpoint's entries with those of a model."""
    stored, wanted = (
        {
            key.removeprefix('module.'): value
            for key, value in state.items()
            if not key.endswith('num_batches_tracked')
        }
        for state in (checkpoint.get('state_dict', checkpoint), model.state_dict())
    )
    fit = Fit(total=len(wanted))
    for key, value in wanted.items():
        if key not in stored:
            fit.missing.append(key)
        elif stored[key].shape != value.shape:
            shapes = f'{tuple(stored[key].shape)} instead of {tuple(value.shape)}'
            fit.reshaped.append(f'{key}: {shapes}')
            if key.endswith(_BOX_LAYER):
                fit.other_line = _tell_lines(stored[key], value)
    fit.unexpected = [key for key in stored if key not in wanted]
    return fit


def _tell_lines(stored: Tensor, wanted: Tensor) -> str:
    """Say which line a file was made with, if that is what differs."""
    made, here = (_LINES.get(x.shape[1] / x.shape[0]) for x in (stored, wanted))
    if not made or not here or made == here:
        return ''
    return (
        f'it was made with {made} and here {here} is installed, which encodes boxes '
        'with another number of features; use it where the former is installed'
    )


def require_same_model(
    model: nn.Module,
    checkpoint: dict,
    path: str,
    config: str,
    remedy: str = 'pass the config (and --cfg-options) it was trained with',
) -> None:
    """Refuse to go on with a checkpoint of another model.

    Parts that only training needs may be missing where the training state is, too:
    `tools/model/publish.py` strips both.

    Raises:
        ConfigError: If a parameter is missing, left over or of another shape, or exit
            heads are shared as they once were.
    """
    fit = compare(model, checkpoint)
    if any(key.startswith(_SHARED_EXIT_HEAD) for key in fit.unexpected):
        raise ConfigError(
            f'checkpoint {path} was trained with one exit head for all decoder layers, '
            f'and {config} has one for each: drop it with tools/model/publish.py to '
            'test the rest or to start from it; it cannot be resumed.'
        )
    if 'optimizer' not in checkpoint:
        unused = tuple(
            f'{name}.'
            for name, part in model.named_modules()
            if getattr(part, 'training_only', False)
        )
        fit.missing = [key for key in fit.missing if not key.startswith(unused)]
    if fit.missing or fit.reshaped or fit.unexpected:
        raise ConfigError(f'checkpoint {path} does not fit {config}: {fit}; {remedy}.')


def require_finite(model: nn.Module, path: str) -> None:
    """Refuse weights that are no numbers, after they have been loaded.

    Raises:
        ConfigError: If a parameter or a running mean holds a NaN or an infinity.
    """
    spoilt = [
        key for key, value in model.state_dict().items() if not value.isfinite().all()
    ]
    if spoilt:
        raise ConfigError(
            f'checkpoint {path} holds NaN or infinite values in {len(spoilt)} '
            f'parameters (first {spoilt[0]}): its training diverged; give an earlier '
            'checkpoint.'
        )


def require_training_state(checkpoint: dict, path: str) -> None:
    """Refuse to resume from weights alone.

    Raises:
        ConfigError: If optimizer, log history or position are not in the checkpoint.
    """
    absent = [key for key in _TRAINING_STATE if key not in checkpoint]
    if absent:
        raise ConfigError(
            f'checkpoint {path} cannot be resumed, it holds no {", ".join(absent)}; '
            f'start from its weights with --cfg-options load_from={path} instead.'
        )


def require_averaging(checkpoint: dict, cfg: Config, path: str) -> None:
    """Refuse to go on from averaged weights as if they were the trained ones.

    `EMAHook` saves the average as `state_dict`, and alone knows where the others are.

    Raises:
        ConfigError: The checkpoint has an average, and the config makes none, or one
            of another kind.
    """
    if 'ema_state_dict' not in checkpoint:
        return
    wanted = _average(cfg.get('custom_hooks'))
    if not wanted:
        raise ConfigError(
            f'checkpoint {path} holds averaged weights and cannot be resumed without '
            'an average; give the --preset it was trained with (ema or '
            'checkpoint_averaging), or its EMAHook in custom_hooks.'
        )
    text = (checkpoint.get('meta') or {}).get('cfg')
    stored = _average(read_setting(text, 'custom_hooks'))
    if stored and stored != wanted:
        raise ConfigError(
            f'checkpoint {path} holds weights averaged by {stored}, and the config '
            f'averages by {wanted}; give the --preset it was trained with (ema or '
            'checkpoint_averaging), or its EMAHook in custom_hooks.'
        )


def _average(hooks: Iterable[dict] | None) -> str:
    """Return the kind of average that hooks keep; none: empty."""
    for hook in hooks or ():
        if type_of(hook) == 'EMAHook':
            if not isinstance(hook, dict):  # built already
                return class_name(hook.ema_cfg['type'])
            return class_name(hook.get('ema_type', 'ExponentialMovingAverage'))
    return ''


def require_common_weights(
    model: nn.Module, checkpoint: dict, path: str, config: str
) -> Fit:
    """Check a start from other weights, where e.g. the classes may differ.

    Raises:
        ConfigError: If fewer than half of the model's parameters can be loaded.
    """
    fit = compare(model, checkpoint)
    if fit.loaded * 2 < fit.total:
        raise ConfigError(
            f'load_from={path} gives only {fit.loaded} of {fit.total} parameters of '
            f'{config}: {fit}; give a checkpoint of the same model.'
        )
    return fit
