"""How large a run is: model, images, mini-batch and length, changed in its config."""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

from mmengine.config import Config, ConfigDict

from . import BESIDE

SMALL = BESIDE / 'configs' / '_base_' / 'small.py'
RESIZES = ('Resize', 'RandomResize', 'RandomChoiceResize', 'RandomChoice')
EVALUATIONS = 4  # of a run counted in iterations
LOSS_POINTS = 20


@dataclass(frozen=True)
class Scale:
    """What the options of a sweep say about size; None leaves it to the config.

    Attributes:
        small: Lay `configs/_base_/small.py` over the config first.
        epochs: Length of a run, or
        iterations: its length in mini-batches.
        image_size: Longest side of the images, pixels.
        batch_size: Images a mini-batch.
    """

    small: bool = False
    epochs: int | None = None
    iterations: int | None = None
    image_size: int | None = None
    batch_size: int | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> 'Scale':
        """Return what a command line says about size."""
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls)})

    def apply(self, cfg: Config) -> None:
        """Change a config in place."""
        if self.small:
            make_small(cfg)
        if self.image_size:
            set_image_size(cfg, self.image_size)
        if self.batch_size:
            cfg.train_dataloader.batch_size = self.batch_size
        if self.iterations:
            count_iterations(cfg, self.iterations)
        elif self.epochs:
            _stretch(cfg, self.epochs / cfg.train_cfg.max_epochs)
            cfg.train_cfg.max_epochs = self.epochs


def make_small(cfg: Config) -> None:
    """Make any of the hosts a model for minutes: see `configs/_base_/small.py`."""
    small = Config.fromfile(SMALL)
    model = cfg.model
    share = small.small_model.num_queries / model.num_queries
    levels = tuple(model.backbone.out_indices)
    channels = [64 * 2**level for level in levels]  # of ResNet-18
    cfg.merge_from_dict(
        dict(
            model=dict(
                small.small_model,
                backbone=dict(small.small_backbone, out_indices=levels),
                # A mask branch takes the finest level past the neck.
                neck=dict(in_channels=channels[-len(model.neck.in_channels) :]),
            ),
            train_dataloader=small.small_train_dataloader,
            val_dataloader=small.small_test_dataloader,
            optim_wrapper=small.small_optim_wrapper,
            train_cfg=small.small_train_cfg,
        )
    )
    cfg.param_scheduler = small.small_param_scheduler
    # What is counted in proportion to the queries, as 150 patterns to 900.
    for part, key in (
        (model.get('pattern_query'), 'num_patterns'),
        (model.get('hybrid_branch'), 'num_queries'),
        ((model.get('dn_cfg') or {}).get('group_cfg'), 'num_dn_queries'),
    ):
        if part and key in part:
            part[key] = max(2, round(share * part[key]))
    set_image_size(cfg, small.small_image_size)


def set_image_size(cfg: Config, longest: int) -> None:
    """Resize all images to one longest side.

    In training this takes the place of random sizes and crops; a flip stays.
    """
    resize = dict(type='Resize', scale=(longest, longest), keep_ratio=True)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for holder in _pipeline_holders(loader.dataset):
            steps = []
            for step in holder['pipeline']:
                if step['type'] not in RESIZES:
                    steps.append(step)
                elif resize not in steps:
                    steps.append(resize)
            holder['pipeline'] = steps


def longest_side(cfg: Config) -> int:
    """Return the longest side of the images in validation, pixels; 0 if unknown."""
    for holder in _pipeline_holders(cfg.val_dataloader.dataset):
        for step in holder['pipeline']:
            if step['type'] == 'Resize' and 'scale' in step:
                return max(step['scale'])
    return 0


def count_iterations(cfg: Config, iterations: int) -> None:
    """Count a run in mini-batches: loop, schedule, sampler, log and checkpoints."""
    interval = math.ceil(iterations / EVALUATIONS)
    _stretch(cfg, iterations / cfg.train_cfg.max_epochs, in_iterations=True)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=iterations, val_interval=interval
    )
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=interval)
    hook = cfg.default_hooks.logger
    hook.interval = max(1, min(hook.interval, iterations // LOSS_POINTS))
    hook.log_metric_by_epoch = False
    cfg.log_processor = dict(
        cfg.get('log_processor') or {}, by_epoch=False, window_size=hook.interval
    )


def _pipeline_holders(dataset: dict) -> Iterator[dict]:
    """Yield a data set config and those it wraps, where they have a pipeline."""
    if 'pipeline' in dataset:
        yield dataset
    for inner in (dataset.get('dataset'), *dataset.get('datasets', ())):
        if inner is not None:
            yield from _pipeline_holders(inner)


def _stretch(cfg: Config, factor: float, in_iterations: bool = False) -> None:
    """Stretch the learning rate's schedule.

    Args:
        factor: New length over old, in epochs, or iterations over epochs.
        in_iterations: Count what was counted in epochs in iterations.
    """
    schedulers = cfg.param_scheduler
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    cfg.param_scheduler = [ConfigDict(scheduler) for scheduler in schedulers]
    for scheduler in cfg.param_scheduler:
        if not scheduler.get('by_epoch', True):
            if in_iterations and 'end' in scheduler:
                # A warm-up may take a tenth of a short run.
                total = round(factor * cfg.train_cfg.max_epochs)
                scheduler.end = max(1, min(scheduler.end, total // 10))
            continue
        for key in ('begin', 'end', 'T_max'):
            if key in scheduler:
                scheduler[key] = round(scheduler[key] * factor)
        if 'milestones' in scheduler:
            scheduler.milestones = [
                max(1, round(step * factor)) for step in scheduler.milestones
            ]
        if in_iterations:
            scheduler.by_epoch = False
            scheduler.pop('convert_to_iter_based', None)
