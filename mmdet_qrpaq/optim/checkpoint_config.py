"""Compares the optimizer that a checkpoint was trained with and that of a config."""

from typing import Any

from mmengine.config import Config

from ..class_name import class_name
from ..errors import ConfigError
from ..written_config import read_setting

# They make a group of each tensor, in the order of the model, or merge these.
_BY_TENSOR = ('DefaultOptimWrapperConstructor', 'MergedOptimWrapperConstructor')


def require_same_optimizer(checkpoint: dict, cfg: Config, path: str) -> None:
    """Refuse to resume with an optimizer of another kind, or with other groups.

    A checkpoint holds what its optimizer knows of each parameter by its place in the
    groups, and no names. Where each group is of one tensor, places are those of the
    model, and other rates for some of them can be followed.

    Args:
        checkpoint: With its training state. One that holds no readable config passes.
        path: Where it is from, for the message.

    Raises:
        ConfigError: They differ; names the setting and both values.
    """
    was = read_setting(checkpoint['meta'].get('cfg'), 'optim_wrapper')
    now = cfg.to_dict()['optim_wrapper']
    if not (_has_one_optimizer(was) and _has_one_optimizer(now)):
        return
    kinds = [class_name(one['optimizer']['type']) for one in (was, now)]
    _compare('optimizer.type', *kinds, path)
    groups = checkpoint['optimizer']['param_groups']
    makers = [class_name(one.get('constructor') or _BY_TENSOR[0]) for one in (was, now)]
    ours = all(maker in _BY_TENSOR for maker in makers)
    if ours and all(len(group['params']) == 1 for group in groups):
        return
    settings = [one.get('paramwise_cfg') or {} for one in (was, now)]
    _compare('paramwise_cfg', *settings, path)
    if settings[0] or not ours:  # else all is one group
        _compare('constructor', *makers, path)


def _has_one_optimizer(wrapper: Any) -> bool:
    optimizer = wrapper.get('optimizer') if isinstance(wrapper, dict) else None
    return isinstance(optimizer, dict) and 'type' in optimizer


def _compare(setting: str, was: Any, now: Any, path: str) -> None:
    if was != now:
        raise ConfigError(
            f'optim_wrapper.{setting} is {now} and was {was} where {path} was trained; '
            f'set it to that, or start from the weights alone (--cfg-options '
            f'load_from={path}).'
        )
