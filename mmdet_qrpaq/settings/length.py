"""The length of a run, and what in its config depends on it."""

import math

from mmengine.config import Config, ConfigDict

WARM_UP_PART = 10  # a tenth of a short run
EVALUATIONS = 4  # of a run counted in iterations
LOSS_POINTS = 20


def set_epochs(cfg: Config, epochs: int, batches: int | None = None) -> None:
    """Change the length of a run; what happens at some share of it stays there.

    Args:
        batches: An epoch; if known, a warm-up takes no more than a tenth of the run.
    """
    iterations = epochs * batches if batches else None
    _stretch(cfg, epochs / cfg.train_cfg.max_epochs, iterations)
    cfg.train_cfg.max_epochs = epochs


def count_iterations(cfg: Config, iterations: int) -> None:
    """Count a run in mini-batches: loop, schedule, sampler, log and checkpoints."""
    interval = math.ceil(iterations / EVALUATIONS)
    factor = iterations / cfg.train_cfg.max_epochs
    _stretch(cfg, factor, iterations, in_iterations=True)
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


def _stretch(
    cfg: Config,
    factor: float,
    iterations: int | None,
    in_iterations: bool = False,
) -> None:
    """Stretch the learning rate's schedule, and move what averages begin at.

    Args:
        factor: New length over old, in epochs, or iterations over epochs.
        iterations: New length; if known, a warm-up takes no more than a tenth of it.
        in_iterations: Count what was counted in epochs in iterations.
    """
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    cfg.param_scheduler = [ConfigDict(scheduler) for scheduler in schedulers]
    for scheduler in cfg.param_scheduler:
        if not scheduler.get('by_epoch', True):
            if iterations and 'end' in scheduler:
                shortest = iterations // WARM_UP_PART
                scheduler.end = max(1, min(scheduler.end, shortest))
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
    for hook in cfg.get('custom_hooks') or ():
        if isinstance(hook, dict) and hook.get('begin_epoch'):
            # Counted from 1: those before it are stretched.
            begin = round((hook.pop('begin_epoch') - 1) * factor) + 1
            hook['begin_iter' if in_iterations else 'begin_epoch'] = begin
