"""Everything that is decided for a run on a folder of images."""

from collections.abc import Iterable
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ..errors import ConfigError
from ..formats.folder import DataFolder
from ..presets.applying import apply_presets
from ..runtime.configs import override
from ..settings.decision import Decision
from ..settings.length import count_iterations, set_epochs
from .datasets import keep_small_images, use_splits
from .facts import look_at
from .image_sizes import fit_image_sizes, set_image_size
from .model import fit_queries, set_num_classes
from .options import RunOptions
from .schedule import fit_intervals, fit_learning_rate, fit_length

_PARTS = (
    *('train_dataloader', 'val_dataloader', 'val_evaluator'),
    *('train_cfg', 'optim_wrapper'),
)


def fit(
    cfg: Config,
    data: DataFolder,
    options: RunOptions,
    devices: int = 1,
    settings: dict[str, Any] | None = None,
) -> list[Decision]:
    """Fit a config to a data set.

    Args:
        cfg: Changed in place.
        devices: Over which a mini-batch is spread.
        settings: Dotted keys and their values, which have the last word.

    Returns:
        What was decided, also where the config stays as it is.

    Raises:
        ConfigError: The config cannot be fitted to it.
    """
    missing = [part for part in _PARTS if not cfg.get(part)]
    if missing:
        raise ConfigError(
            f'the config has no {missing[0]}, without which it cannot be fitted to a '
            'folder; take one like those in configs/.'
        )
    facts = look_at(data)
    decided = use_splits(cfg, data, data.classes, ('train', 'val', 'test'))
    set_num_classes(cfg, len(data.classes))
    decided += keep_small_images(cfg, facts)
    decided += fit_image_sizes(cfg, facts, options.image_size)
    decided += fit_queries(cfg, facts)
    if options.batch_size:
        cfg.train_dataloader.batch_size = options.batch_size
    decided += fit_length(cfg, facts, options, devices)
    decided += _apply_presets(cfg, options, settings or {})
    decided += fit_intervals(cfg)
    decided += fit_learning_rate(cfg, options, devices)  # of what an update is made of
    _override(cfg, settings or {})
    if options.seed is not None:
        _set_seed(cfg, options.seed)
        decided.append(Decision('randomness', f'seed {options.seed}', '--seed'))
    return decided


def apply_options(
    cfg: Config, options: RunOptions, settings: dict[str, Any] | None = None
) -> list[Decision]:
    """Apply plain options and presets to a config that keeps its data.

    Args:
        cfg: Changed in place.
        settings: Dotted keys and their values, which have the last word.

    Returns:
        What the presets have changed.

    Raises:
        ConfigError: A preset does not go with the config, or the config has nothing
            that an option could change.
    """
    if options.batch_size:
        _require(cfg, '--batch-size', 'train_dataloader')
        cfg.train_dataloader.batch_size = options.batch_size
    if options.image_size:
        _require(cfg, '--image-size', 'train_dataloader')
        set_image_size(cfg, options.image_size)
    if options.lr:
        _require(cfg, '--lr', 'optim_wrapper', 'optimizer')
        cfg.optim_wrapper.optimizer.lr = options.lr
    if options.iterations:
        count_iterations(cfg, options.iterations)
    elif options.epochs:
        _require(cfg, '--epochs', 'train_cfg', 'max_epochs')
        set_epochs(cfg, options.epochs)
    if options.seed is not None:
        _set_seed(cfg, options.seed)
    decided = _apply_presets(cfg, options, settings or {})
    _override(cfg, settings or {})
    return decided


def tell(
    config: str, decided: Iterable[Decision], how: str = 'fitted to the data'
) -> None:
    """Print what was found and decided."""
    lines = [f'{config}, {how}:', *map(str, decided)]
    print_log('\n  '.join(lines))


def _apply_presets(
    cfg: Config, options: RunOptions, settings: dict[str, Any]
) -> list[Decision]:
    """Apply presets when all else is known: some ask how long the run is.

    Raises:
        ConfigError: One makes the run longer than somebody has asked for.
    """
    _override(cfg, settings)
    loop = cfg.get('train_cfg') or {}
    before = loop.get('max_epochs')
    decided = apply_presets(cfg, options.preset)
    asked = options.epochs or 'train_cfg.max_epochs' in settings
    if asked and loop.get('max_epochs') != before:
        raise ConfigError(
            f'preset small_data asks for {loop["max_epochs"]} epochs at least, and the '
            f'command line for {before}; write small_data={before}.'
        )
    return decided


def _override(cfg: Config, settings: dict[str, Any]) -> None:
    override(cfg, settings, '--cfg-options', str(cfg.filename))


def _set_seed(cfg: Config, seed: int) -> None:
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)


def _require(cfg: Config, option: str, part: str, setting: str = '') -> None:
    """Refuse an option that finds nothing to change."""
    found = cfg.get(part)
    if not found or (setting and setting not in found):
        raise ConfigError(
            f'{option} changes {part}{setting and "."}{setting}, which the config does '
            'not have; leave it out.'
        )
