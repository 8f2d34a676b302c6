"""Everything that is decided for a run on a folder of images."""

from collections.abc import Iterable

from mmengine.config import Config
from mmengine.logging import print_log

from ..errors import ConfigError
from ..formats.folder import DataFolder
from ..presets.applying import apply_presets
from ..settings.decision import Decision
from ..settings.length import count_iterations, set_epochs
from .datasets import keep_small_images, use_splits
from .facts import look_at
from .image_sizes import fit_image_sizes, set_image_size
from .model import fit_queries, set_num_classes
from .options import RunOptions
from .schedule import fit_learning_rate, fit_length

_PARTS = (
    *('train_dataloader', 'val_dataloader', 'val_evaluator'),
    *('train_cfg', 'optim_wrapper'),
)


def fit(
    cfg: Config, data: DataFolder, options: RunOptions, devices: int = 1
) -> list[Decision]:
    """Fit a config to a data set.

    Args:
        cfg: Changed in place.
        devices: Over which a mini-batch is spread.

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
    decided = apply_presets(cfg, options.preset)
    facts = look_at(data)
    decided += use_splits(cfg, data, data.classes, ('train', 'val', 'test'))
    set_num_classes(cfg, len(data.classes))
    decided += keep_small_images(cfg, facts)
    decided += fit_image_sizes(cfg, facts, options.image_size)
    decided += fit_queries(cfg, facts)
    decided += fit_learning_rate(cfg, options, devices)
    decided += fit_length(cfg, facts, options, devices)
    if options.seed is not None:
        _set_seed(cfg, options.seed)
        decided.append(Decision('randomness', f'seed {options.seed}', '--seed'))
    return decided


def apply_options(cfg: Config, options: RunOptions) -> list[Decision]:
    """Apply presets and plain options to a config that keeps its data.

    Returns:
        What the presets have changed.

    Raises:
        ConfigError: A preset does not go with the config, or the config has nothing
            that an option could change.
    """
    decided = apply_presets(cfg, options.preset)
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
    return decided


def tell(
    config: str, decided: Iterable[Decision], how: str = 'fitted to the data'
) -> None:
    """Print what was found and decided."""
    lines = [f'{config}, {how}:', *map(str, decided)]
    print_log('\n  '.join(lines))


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
