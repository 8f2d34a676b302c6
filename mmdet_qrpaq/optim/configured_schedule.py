"""Resumes with the schedule and the optimizer settings that the config has now.

mmengine restores schedulers and parameter groups whole: another milestone, run length,
learning rate or weight decay in the config of a resumed run has no effect there.
"""

import math
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..errors import ConfigError

# What a scheduler knows of the run rather than of the schedule.
_PROGRESS = {
    *('optimizer', 'last_step', '_global_step', '_last_value', 'base_values'),
    *('best', 'cooldown_counter', 'num_bad_epochs', 'verbose'),
}
# What a group has beside its settings: its tensors, and which kernels do a step.
_NO_SETTINGS = {'params', 'foreach', 'fused', 'capturable', 'differentiable'}


@HOOKS.register_module()
class ConfiguredSchedule(Hook):
    """Gives a resumed run the learning rates that its config asks for.

    If schedule or optimizer are set otherwise than in the run that wrote the
    checkpoint, one line tells what differs, and the schedulers of the config are taken
    through the steps done so far: from there on every iteration has the rate, the
    weight decay etc. that it has in an uninterrupted run with this config. If nothing
    differs, nothing is changed.

    `tools/train.py` adds it to a run that is resumed, after `CheckpointGroups`; in any
    other it does nothing.

    Raises:
        ConfigError: The changed schedule follows results of validations, which a
            checkpoint does not hold.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Change the checkpoint in place, before anything is restored from it."""
        if not runner._resume or not isinstance(runner.optim_wrapper, OptimWrapper):
            return
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        unit = 'epoch' if by_epoch else 'iter'
        done = checkpoint['meta'][unit]
        length = getattr(runner.train_loop, f'max_{unit}s', math.inf)
        if done >= length:
            runner.logger.warning(
                f'Nothing is left to train: the checkpoint is at {unit} {done}, and '
                f'train_cfg.max_{unit}s is {length}.'
            )
            return
        schedulers = runner.param_schedulers or []
        saved = checkpoint['optimizer']
        optimizer = runner.optim_wrapper.optimizer
        theirs, ours = saved['param_groups'], optimizer.param_groups
        changes = [
            *_changed_settings(theirs, ours, optimizer.defaults),
            *_changed_schedules(checkpoint.get('param_schedulers', []), schedulers),
        ]
        if not changes:
            return
        told = ', '.join(dict.fromkeys(changes))
        if any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers):
            raise ConfigError(
                'a schedule that follows validation results can only be resumed as it '
                f'was, and the config has changed: {told}; undo the change, or start '
                'from the weights alone (--cfg-options load_from=CHECKPOINT).'
            )
        was = theirs[0]['lr']
        replay(schedulers, runner, checkpoint['meta'])
        runner.logger.warning(
            "The config's settings are used where they differ from the checkpoint's: "
            f'{told}. Learning rate of the next iteration: {was:.4g} -> '
            f'{ours[0]["lr"]:.4g}.'
        )
        checkpoint['param_schedulers'] = [one.state_dict() for one in schedulers]
        saved['param_groups'] = [
            {**our_group, 'params': their_group['params']}
            for their_group, our_group in zip(theirs, ours, strict=True)
        ]
        # The base rate beside several groups: the runner's has been stepped above.
        saved.pop('base_param_settings', None)


def replay(schedulers: list[_ParamScheduler], runner: Runner, meta: dict) -> None:
    """Step new schedulers as the run would have up to its checkpoint.

    Where epochs are counted, a resumed epoch starts from its first image, so the steps
    are those of whole epochs of the present length.
    """
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        rounds = [(len(runner.train_dataloader), True)] * meta['epoch']
    else:
        rounds = [(meta['iter'], False)]
    of_iterations = [one for one in schedulers if not one.by_epoch]
    of_epochs = [one for one in schedulers if one.by_epoch]
    with warnings.catch_warnings():
        # torch's, that a scheduler is stepped before its optimizer
        warnings.simplefilter('ignore', UserWarning)
        for length, ends in rounds:
            for _ in range(length):
                for scheduler in of_iterations:
                    scheduler.step()
            for scheduler in of_epochs * ends:
                scheduler.step()


def _changed_schedules(theirs: list[dict], ours: list[_ParamScheduler]) -> list[str]:
    """Say how the checkpoint's schedulers and those of the config differ."""
    if len(theirs) != len(ours):
        return [f'param_scheduler {len(theirs)} entries -> {len(ours)}']
    changes = []
    for place, (state, scheduler) in enumerate(zip(theirs, ours, strict=True)):
        was = {k: v for k, v in state.items() if k not in _PROGRESS}
        now = {k: v for k, v in vars(scheduler).items() if k not in _PROGRESS}
        key = f'param_scheduler.{place}'
        if set(was) != set(now):
            changes.append(f'{key}.type another -> {type(scheduler).__name__}')
            continue
        changes += [
            f'{key}.{name} {_text(was[name])} -> {_text(now[name])}'
            for name in now
            if was[name] != now[name]
        ]
    return changes


def _changed_settings(
    theirs: list[dict], ours: list[dict], names: Iterable[str]
) -> list[str]:
    """Say how the groups of the checkpoint and those of the config differ."""
    changes = []
    for their_group, our_group in zip(theirs, ours, strict=True):
        was, now = settings_of(their_group), settings_of(our_group)
        changes += [
            f'optimizer.{name} {was[name]} -> {now[name]}'
            for name in names
            if name in was and name in now and was[name] != now[name]
        ]
    return changes


def settings_of(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group as its config set it, before any schedule changed it."""
    start = 'initial_'
    found = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in group.items()
        if name not in _NO_SETTINGS and not name.startswith(start)
    }
    found |= {k.removeprefix(start): v for k, v in group.items() if k.startswith(start)}
    if 'betas' in found and 'momentum' in found:  # a schedule's name for the first
        found['betas'] = (found.pop('momentum'), found['betas'][1])
    return found


def _text(value: Any) -> str:
    return str(sorted(value.elements()) if isinstance(value, Counter) else value)
