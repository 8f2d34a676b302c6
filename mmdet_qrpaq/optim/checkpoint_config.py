"""Compares the optimizer that a checkpoint was trained with and that of a config."""

import ast
from typing import Any

from mmengine.config import Config

from ..class_name import class_name
from ..errors import ConfigError

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


def read_setting(text: str | None, name: str) -> Any:
    """Return a setting of a config that mmengine has written out; nothing is run.

    Returns:
        The setting, or `None` where there is none, or it is more than texts, numbers,
        lists and dicts.
    """
    try:
        for line in ast.parse(text or '').body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name:
                return _literal(line.value)
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        pass  # written by another program
    return None


def _has_one_optimizer(wrapper: Any) -> bool:
    optimizer = wrapper.get('optimizer') if isinstance(wrapper, dict) else None
    return isinstance(optimizer, dict) and 'type' in optimizer


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict':
        parts = [_literal(part) for part in node.args]  # keys that are no names
        named = {part.arg: _literal(part.value) for part in node.keywords}
        return dict(*parts, **named)
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_literal(key): _literal(value) for key, value in pairs}
    if isinstance(node, ast.List | ast.Tuple):
        kind = list if isinstance(node, ast.List) else tuple
        return kind(map(_literal, node.elts))
    return ast.literal_eval(node)


def _compare(setting: str, was: Any, now: Any, path: str) -> None:
    if was != now:
        raise ConfigError(
            f'optim_wrapper.{setting} is {now} and was {was} where {path} was trained; '
            f'set it to that, or start from the weights alone (--cfg-options '
            f'load_from={path}).'
        )
