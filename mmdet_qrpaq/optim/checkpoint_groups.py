"""Resumes with merged parameter groups what was trained with a group a tensor."""

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import ConfigError

# What mmengine's schedulers keep for each group.
_BY_GROUP = ('base_values', '_last_value', 'min_value')
# What Adam and its relatives, and SGD, keep of a parameter in its shape.
_SHAPED = ('exp_avg', 'momentum_buffer')


@HOOKS.register_module()
class CheckpointGroups(Hook):
    """Regroups a checkpoint's optimizer and schedulers as the config groups them.

    `tools/train.py` adds it to a run that is resumed; in any other it does nothing.
    Which kernels do the step (`fused`) is the config's, not the checkpoint's.

    Raises:
        ConfigError: The checkpoint's groups cannot become those of the config.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Change the checkpoint in place, before its optimizer is loaded."""
        if not runner._resume or not isinstance(runner.optim_wrapper, OptimWrapper):
            return
        optimizer, saved = runner.optim_wrapper.optimizer, checkpoint['optimizer']
        count = len(saved['param_groups'])
        if count != len(optimizer.param_groups):
            members = places_of_parameters(optimizer, runner.model)
            checkpoint['optimizer'] = saved = regroup(saved, members)
            if runner.optim_wrapper.base_param_settings is None:
                saved.pop('base_param_settings', None)
            for scheduler in checkpoint.get('param_schedulers', ()):
                _regroup_scheduler(scheduler, members, count)
        require_same_groups(saved, optimizer)
        for theirs, ours in zip(
            saved['param_groups'], optimizer.param_groups, strict=True
        ):
            if 'fused' in ours:
                theirs['fused'] = ours['fused']


def places_of_parameters(optimizer: Optimizer, model: nn.Module) -> list[list[int]]:
    """Return, for each group, the places of its parameters among all it optimizes."""
    groups = [[id(p) for p in group['params']] for group in optimizer.param_groups]
    known = {number for group in groups for number in group}
    ordered = [id(p) for p in model.parameters() if id(p) in known]
    place = {number: i for i, number in enumerate(ordered)}
    return [[place[number] for number in group] for group in groups]


def regroup(saved: dict[str, Any], members: list[list[int]]) -> dict[str, Any]:
    """Return the state of an optimizer that has these groups.

    Args:
        saved: State of one with a group for each parameter, as mmengine makes them.
        members: For each group, the places of its parameters among all that are
            trained.

    Raises:
        ConfigError: There are other groups in `saved`, or those to be merged differ.
    """
    groups = saved['param_groups']
    single = all(len(group['params']) == 1 for group in groups)
    if not single or len(groups) != sum(map(len, members)):
        raise ConfigError(
            f'the checkpoint has {len(groups)} groups of parameters in its optimizer, '
            f'the config makes {len(members)} of {sum(map(len, members))} parameters; '
            'resume with the optim_wrapper (paramwise_cfg, constructor) and the '
            'model.frozen_parts (--freeze) it was trained with.'
        )
    settings = [
        {key: value for key, value in group.items() if key != 'params'}
        for group in groups
    ]
    merged, state = [], {}
    for places in members:
        first = settings[places[0]]
        if any(settings[i] != first for i in places):
            raise ConfigError(
                'parameters that the config puts into one group have different '
                "settings in the checkpoint's optimizer; resume with the "
                'optim_wrapper.paramwise_cfg it was trained with.'
            )
        start = sum(len(group['params']) for group in merged)
        merged.append(dict(first, params=list(range(start, start + len(places)))))
        for new, old in enumerate(places, start):
            if groups[old]['params'][0] in saved['state']:
                state[new] = saved['state'][groups[old]['params'][0]]
    return dict(saved, state=state, param_groups=merged)


def require_same_groups(saved: dict[str, Any], optimizer: Optimizer) -> None:
    """Refuse the state of an optimizer of which this one cannot be a continuation.

    Raises:
        ConfigError: Settings of this optimizer are not in the state; a group has
            another number of parameters, or they have other shapes.
    """
    needed = {
        name
        for name, value in optimizer.defaults.items()
        if not isinstance(value, bool | None)
    }
    for number, (theirs, ours) in enumerate(
        zip(saved['param_groups'], optimizer.param_groups, strict=True)
    ):
        if lacking := sorted(needed - set(theirs)):
            raise ConfigError(
                f"the checkpoint's optimizer has no {', '.join(lacking)}, by which "
                f'{type(optimizer).__name__} is set; resume with the '
                'optim_wrapper.optimizer.type it was trained with.'
            )
        states = [saved['state'].get(place, {}) for place in theirs['params']]
        counts = [len(group['params']) for group in (theirs, ours)]
        if counts[0] != counts[1] or not all(map(_fits, states, ours['params'])):
            raise ConfigError(
                f"group {number} of the checkpoint's optimizer holds {counts[0]} "
                f'parameters and that of the config {counts[1]}, or others; resume '
                'with the optim_wrapper.paramwise_cfg, the frozen layers and the '
                'model.frozen_parts (--freeze) it was trained with.'
            )


def _fits(state: dict[str, Any], parameter: Tensor) -> bool:
    kept = (state.get(name) for name in _SHAPED)
    return all(value is None or value.shape == parameter.shape for value in kept)


def _regroup_scheduler(scheduler: dict, members: list[list[int]], count: int) -> None:
    """Keep a number for each new group; one more is the base learning rate's."""
    for name in _BY_GROUP:
        values = scheduler.get(name)
        if isinstance(values, list):
            kept = [values[places[0]] for places in members]
            scheduler[name] = kept + values[count:] * (len(members) > 1)
