"""Everything that can be wrong with a run's input, said before its first iteration.

The tools call `preflight` before they build a runner: no log is opened, no weight
downloaded, no data set loaded.
"""

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch import nn

from ..errors import ConfigError
from ..optim.checkpoint_config import require_same_optimizer
from ..settings.metrics import evaluators_of
from ..settings.schedule import check_schedule
from ..settings.together import leaf_datasets
from .building import build_model
from .checkpoints import read_checkpoint
from .cli import on_main_process
from .datasets import loads_masks
from .examining import use_sound_data
from .fit import (
    require_averaging,
    require_common_weights,
    require_same_model,
    require_training_state,
)


def preflight(cfg: Config, stages: tuple[str, ...]) -> None:
    """Check model settings, checkpoint and data of a run.

    Args:
        cfg: The config, flags applied; several processes already talk to one another.
        stages: `('train', 'val')` or `('test',)`; one not configured is skipped.

    Raises:
        ConfigError: With the first thing that is wrong, on every rank.
    """
    checkpoint = read_checkpoint(cfg.load_from) if cfg.get('load_from') else None
    # Built to be looked at and dropped; its constructors check their own settings.
    model = build_model(cfg)
    if checkpoint is not None:
        _check_checkpoint(model, checkpoint, cfg, tested='test' in stages)
    _check_masks(model, cfg, stages)
    if 'train' in stages and is_main_process():
        for finding in check_schedule(cfg):
            print_log(str(finding), level=logging.WARNING)
    _check_data(cfg, stages, checkpoint)


def _check_checkpoint(
    model: nn.Module, checkpoint: dict, cfg: Config, tested: bool
) -> None:
    path, config = cfg.load_from, cfg.filename
    if tested or cfg.get('resume'):
        if not tested:
            require_training_state(checkpoint, path)
            require_same_optimizer(checkpoint, cfg, path)
            require_averaging(checkpoint, cfg, path)
        require_same_model(model, checkpoint, path, config)
        return
    fit = require_common_weights(model, checkpoint, path, config)
    if is_main_process():
        print_log(
            f'load_from={path} gives {fit.loaded} of {fit.total} parameters: {fit}'
        )


def _check_masks(model: nn.Module, cfg: Config, stages: tuple[str, ...]) -> None:
    """Check that what makes masks, loads them and judges them agrees."""
    if not hasattr(model, 'mask_branch'):
        return  # not ours: it may make masks in its own way
    loader = cfg.get('train_dataloader') if 'train' in stages else None
    if model.mask_branch is not None and loader is not None:
        for leaf, found in leaf_datasets(loader.dataset, 'train_dataloader.dataset'):
            if 'pipeline' in found and not loads_masks(found):
                raise ConfigError(
                    f'model.mask_branch is set and {leaf}.pipeline loads no masks: '
                    'give its LoadAnnotations with_mask=True.'
                )
    for stage in stages:
        for metric in evaluators_of(cfg, stage):
            if model.mask_branch is None and 'segm' in (metric.get('metric') or ()):
                raise ConfigError(
                    f"{stage}_evaluator.metric asks for 'segm' and the model makes no "
                    'masks: set model.mask_branch, or leave segm out.'
                )


def _check_data(cfg: Config, stages: tuple[str, ...], checkpoint: dict | None) -> None:
    """Read the data on rank 0, and let every rank use them or stop.

    Files that need it are read from mended copies in the work directory.
    """
    folder = Path(cfg.work_dir) / 'annotations'
    settings = on_main_process(
        use_sound_data, cfg, stages, folder, _classes_of(checkpoint)
    )
    cfg.merge_from_dict(settings)


def _classes_of(checkpoint: dict | None) -> tuple[str, ...] | None:
    """Return the classes that a checkpoint was trained on, if it says so."""
    meta = (checkpoint or {}).get('meta') or {}
    classes = (meta.get('dataset_meta') or {}).get('classes')
    return tuple(classes) if classes else None
