"""Which runs a sweep has: leaves or values of one option, each with every seed."""

import inspect
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..data.datasets import only_dataset
from ..data.plan import apply_options, fit
from ..errors import ConfigError
from ..formats.folder import DataFolder
from ..records.provenance import hash_text
from ..runtime.configs import override, read_config
from ..settings.decision import Decision
from ..settings.options import parse_settings
from .data import describe_data
from .scale import Scale, make_small

# What a run depends on besides the runner's own arguments.
MORE_SETTINGS = ('auto_scale_lr', 'custom_imports', 'runner_type')
PARTS = (
    *('train_dataloader', 'val_dataloader', 'val_evaluator', 'train_cfg'),
    *('optim_wrapper', 'param_scheduler', 'default_hooks'),
)
PLACES = ('cfg', 'work_dir', 'experiment_name')


@dataclass
class Run:
    """One training.

    Attributes:
        variant: Its name in the table, the same for all seeds.
        seed: For weights, data order, augmentation and denoising.
        leaf: The config it is made of, as given.
        options: Settings changed in it, one after another: dotted, or nested dicts.
        config: All settings.
        data: See `describe_data`.
        decided: What was decided for it, if the config was fitted to a folder.
        extra: More to be recorded among its settings.
    """

    variant: str
    seed: int
    leaf: str
    options: dict[str, Any]
    scale: Scale
    config: Config
    data: dict[str, str]
    decided: list[Decision] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How the run is called on the terminal."""
        return f'{self.variant}, seed {self.seed}'

    @property
    def file_name(self) -> str:
        """Name of its folder and, with .json, of its record."""
        # The sign of a number stays: -0.5 is not 0.5.
        name = re.sub(r'(?:[^\w.-]|-(?!\d))+', '_', self.variant).strip('_')
        return f'{name}_seed{self.seed}'

    @property
    def digest(self) -> str:
        """A short digest of all settings and of the data, wherever that lies."""
        known = {*inspect.signature(Runner.__init__).parameters, *MORE_SETTINGS}
        settings = {
            key: value
            for key, value in self.config.to_dict().items()
            if key in known and key not in PLACES
        }
        for split in ('train', 'val'):
            dataset = only_dataset(self.config, split)
            # A file that was converted lies elsewhere.
            for root in (dataset.get('data_root'), os.path.dirname(dataset.ann_file)):
                if root and os.path.isabs(root):
                    settings = _without_root(settings, root.rstrip('/'))
        text = json.dumps([settings, self.data], sort_keys=True, default=str)
        return hash_text(text, 16)

    @property
    def length(self) -> int:
        """Its length, in epochs or iterations, whichever it is counted in."""
        loop = self.config.train_cfg
        return loop.get('max_iters') or loop.max_epochs


def plan_run(
    variant: str,
    seed: int,
    leaf: str,
    scale: Scale,
    data: DataFolder | None = None,
    options: dict[str, Any] | None = None,
) -> Run:
    """Make one run from a leaf: small, then fitted to data and budget, then options.

    Raises:
        ConfigError: The leaf, an option or the data folder cannot work.
    """
    cfg = read_config(leaf)
    _require_parts(cfg, leaf)
    if cfg.model.get('num_queries') is None:
        raise ConfigError(
            f'config {leaf} has no model.num_queries; a sweep compares detectors with '
            'queries.'
        )
    if scale.small:
        make_small(cfg)
    decided = []
    if data is None:
        apply_options(cfg, scale)
    else:
        decided = fit(cfg, data, scale)
    for key, value in (options or {}).items():
        override(cfg, {key: value}, f'the options {options}', leaf)
    hooks = list(cfg.get('custom_hooks') or [])
    logs_routing = any(hook['type'] == 'QueryRoutingHook' for hook in hooks)
    if cfg.model.get('query_routing') is not None and not logs_routing:
        cfg.custom_hooks = [*hooks, dict(type='QueryRoutingHook')]
    # The second last one is what remains if a run is killed while it writes the last.
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    return Run(
        variant, seed, leaf, options or {}, scale, cfg, describe_data(cfg), decided
    )


def _without_root(value: Any, root: str) -> Any:
    """Return the settings, their paths starting below a folder."""
    if isinstance(value, dict):
        return {key: _without_root(item, root) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_root(item, root) for item in value]
    if isinstance(value, str) and f'{value}/'.startswith(f'{root}/'):
        return value[len(root) :]
    return value


def _require_parts(cfg: Config, leaf: str) -> None:
    missing = [part for part in PARTS if not cfg.get(part)]
    if missing:
        raise ConfigError(
            f'config {leaf} has no {missing[0]}, which a sweep needs to train and '
            'evaluate; take a config as those in configs/.'
        )
    if 'max_epochs' not in cfg.train_cfg:
        raise ConfigError(
            f'config {leaf} has a train_cfg without max_epochs; a sweep needs a config '
            'counted in epochs (and can count iterations then).'
        )


def plan_sweep(
    leaves: Sequence[str],
    seeds: Sequence[int],
    scale: Scale,
    data: DataFolder | None = None,
    options: dict[str, Any] | None = None,
    grid: Sequence[str] | None = None,
) -> list[Run]:
    """Plan leaves, each with every value of the grid, each with every seed.

    Args:
        grid: A dotted setting, then its values as they are typed.

    Returns:
        Seed by seed, so that a sweep stopped early still compares all its variants.

    Raises:
        ConfigError: Two runs would have the same name, or a run cannot work.
    """
    variants = {}
    for leaf in leaves:
        for changed in _grid_options(grid):
            values = ', '.join(
                f'{key.rpartition(".")[2]}={value}' for key, value in changed.items()
            )
            name = Path(leaf.rpartition('::')[2]).stem
            name = f'{name}, {values}' if values else name
            if name in variants:
                raise ConfigError(f'{name} is given twice; leave one out.')
            variants[name] = (leaf, {**(options or {}), **changed})
    return [
        plan_run(name, seed, leaf, scale, data, changed)
        for seed in dict.fromkeys(seeds)
        for name, (leaf, changed) in variants.items()
    ]


def _grid_options(grid: Sequence[str] | None) -> list[dict[str, Any]]:
    """Read the values as `--cfg-options` does."""
    if not grid:
        return [{}]
    key, *values = grid
    if not values or '=' in key:
        raise ConfigError(
            f'grid {" ".join(grid)}: give a setting and its values, e.g. '
            'model.pattern_query.num_patterns 50 100 150.'
        )
    return [parse_settings([f'{key}={value}'], 'grid') for value in values]
