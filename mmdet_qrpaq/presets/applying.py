"""Applies presets to a config."""

from collections.abc import Iterable, Sequence
from importlib import import_module

from mmengine.config import Config

from ..errors import ConfigError
from ..settings.decision import Decision
from .catalogue import PRESETS, read_preset


def apply_presets(cfg: Config, words: Sequence[str] | None = None) -> list[Decision]:
    """Apply the presets that a config (`presets`) and a command line name.

    What is written of the config afterwards trains in the same way by itself: `presets`
    is empty in it.

    Args:
        cfg: Changed in place.
        words: `NAME` or `NAME=NUMBER` each; they go before those of the config.

    Returns:
        What was changed.

    Raises:
        ConfigError: There is no such preset, or this config cannot take it.
        ModuleNotFoundError: A library is missing that an extra of this package brings.
    """
    named = cfg.get('presets') or []
    if not isinstance(named, list | tuple):
        raise ConfigError(f'presets is {named!r}: give a list of names, as {[named]}.')
    chosen = dict(map(read_preset, [*named, *(words or ())]))
    _require_compatible(chosen)
    decided = []
    for name in PRESETS:
        if name not in chosen:
            continue
        apply = getattr(import_module(f'.{PRESETS[name].module}', __package__), name)
        number = chosen[name]
        decided += apply(cfg) if number is None else apply(cfg, number)
    if 'presets' in cfg:
        cfg.presets = []
    return decided


def _require_compatible(chosen: Iterable[str]) -> None:
    for name in chosen:
        other = PRESETS[name].not_with
        if other in chosen:
            raise ConfigError(
                f'the presets {name} and {other} do the same thing in two ways; leave '
                'one out.'
            )
