"""Everything that can be wrong with a run's input, said before its first iteration.

The tools call `preflight` before they build a runner: no log is opened, no weight
downloaded, no data set loaded.
"""

import logging
import os

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from torch import nn

from ..errors import ConfigError
from ..settings.schedule import check_schedule
from ..settings.together import leaf_datasets
from .annotations import Annotations, read_annotations
from .building import build_model
from .checkpoints import is_remote, read_checkpoint
from .configs import evaluators_of
from .datasets import check_data, loads_masks
from .fit import require_common_weights, require_same_model, require_training_state


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
    _check_data(cfg, stages)


def _check_checkpoint(
    model: nn.Module, checkpoint: dict, cfg: Config, tested: bool
) -> None:
    path, config = cfg.load_from, cfg.filename
    if tested or cfg.get('resume'):
        if not tested:
            require_training_state(checkpoint, path)
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


def _check_data(cfg: Config, stages: tuple[str, ...]) -> None:
    """Read the data on rank 0 and tell every rank the outcome."""
    outcome = [None]
    if is_main_process():
        try:
            for stage in stages:
                _check_stage(cfg, stage)
        except ConfigError as error:
            outcome = [str(error)]
        except Exception as error:
            # The other ranks wait for an outcome; let them stop as well.
            broadcast_object_list([f'{type(error).__name__} on rank 0: {error}'])
            raise
    broadcast_object_list(outcome)
    if outcome[0] is not None:
        raise ConfigError(outcome[0])


def _check_stage(cfg: Config, stage: str) -> None:
    if cfg.get(f'{stage}_dataloader') is None:
        return
    found = check_data(cfg, stage)
    known = None not in found and stage == 'train'
    if known and not any(annotations.num_objects for annotations in found):
        raise ConfigError(
            f'{stage}_dataloader: its annotation files contain no object to learn '
            'from; choose another ann_file.'
        )
    for metric in evaluators_of(cfg, stage):
        _check_evaluator(metric, f'{stage}_evaluator', found)


def _check_evaluator(metric: dict, key: str, found: list[Annotations | None]) -> None:
    """Check that the metric's own ground truth covers the data loader's images."""
    path = metric.get('ann_file')
    if not path or metric.get('backend_args') or is_remote(path):
        return
    if not os.path.isfile(path):
        raise ConfigError(
            f'{key}.ann_file: file {path} does not exist; set it to the ann_file '
            f'of the data loader (--cfg-options {key}.ann_file=FILE).'
        )
    if None in found:
        return
    annotations = read_annotations(path)
    if 'segm' in (metric.get('metric') or ()) and annotations.num_without_mask:
        raise ConfigError(
            f"{key}.metric asks for 'segm', and {annotations.num_without_mask} of the "
            f'{annotations.num_objects} objects of {path} have no segmentation; add '
            'polygons or RLE to them, or leave segm out.'
        )
    truth = annotations.image_ids
    strangers = sum(len(annotations.image_ids - truth) for annotations in found)
    if strangers:
        raise ConfigError(
            f'{key}.ann_file {path} lacks {strangers} images of the data loader; both '
            f'must name the same annotations (--cfg-options {key}.ann_file=FILE).'
        )
