"""The config that a checkpoint carries: a stranger's program, which is not run.

mmengine writes it out as plain settings, and these alone are read. What they name is
looked up by libraries later, so only names that are registered pass, annotation files
that hold plain data, and in the model no text that could be an expression.
"""

import re
from collections.abc import Iterator
from typing import Any

import mmdet.registry
import mmengine.registry
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import Registry

from ..errors import ConfigError
from ..written_config import read_settings

# What a prediction needs of a config.
_USED = (
    *('default_scope', 'model', 'val_dataloader', 'val_evaluator'),
    *('test_dataloader', 'test_evaluator'),
)
# Types that are in no registry.
_OTHERS = {'nms', 'soft_nms', 'nms_rotated', 'nms_match'}
_PACKAGES = ('mmdet', 'mmengine', 'mmcv', 'mmdet_qrpaq', 'torch')
_PLAIN = re.compile(r'[^()\[\]{}\n]*')
_RUN_WHEN_READ = ('.pkl', '.pickle', '.yaml', '.yml')


def config_of(checkpoint: dict, path: str) -> Config:
    """Return the config that a checkpoint was trained with.

    Modules that it imports (`custom_imports`) are not imported.

    Args:
        path: Of the checkpoint, for messages.

    Raises:
        ConfigError: There is none, or something in it is not known.
    """
    text = (checkpoint.get('meta') or {}).get('cfg')
    settings = read_settings(text if isinstance(text, str) else None)
    settings = {key: settings[key] for key in _USED if key in settings}
    if not isinstance(settings.get('model'), dict):
        raise ConfigError(
            f'checkpoint {path} holds no config that can be read; give the one that it '
            'was trained with: --config FILE.'
        )
    register_all_modules(init_default_scope=False)
    known = _registered()
    for place, name in _types(settings):
        if not _is_known(name, known):
            raise ConfigError(
                f'the config in checkpoint {path} has {place}.type={name!r}, which is '
                'not registered; if you trust it, write it into a file, with '
                'custom_imports for modules of your own, and give that: --config FILE.'
            )
    odd = [text for text in _texts(settings['model']) if not _PLAIN.fullmatch(text)]
    odd += [text for text in _texts(settings) if text.endswith(_RUN_WHEN_READ)]
    if odd:
        raise ConfigError(
            f'the config in checkpoint {path} has the text {odd[0]!r}, which could be '
            'run; if you trust it, write it into a file and give that: --config FILE.'
        )
    return Config(settings, cfg_text=text, filename=path)


def _registered() -> set[str]:
    """Return all names that mmengine's and mmdet's registries know."""
    modules = mmengine.registry, mmdet.registry
    found = [value for module in modules for value in vars(module).values()]
    return {
        name
        for registry in found
        if isinstance(registry, Registry)
        for name in registry.module_dict
    }


def _is_known(name: Any, known: set[str]) -> bool:
    if not isinstance(name, str):
        return name is None
    package, dot, _ = name.partition('.')
    last = name.rpartition('.')[2]
    return last in known | _OTHERS and (not dot or package in _PACKAGES)


def _types(settings: Any, place: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the place of every dict with a type, and its type."""
    if isinstance(settings, dict):
        if 'type' in settings and place:
            yield place, settings['type']
        inner = settings.items()
    else:
        inner = enumerate(settings)
    for key, value in inner:
        if isinstance(value, dict | list | tuple):
            yield from _types(value, f'{place}.{key}' if place else str(key))


def _texts(settings: Any) -> Iterator[str]:
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, dict | list | tuple):
        inner = settings.values() if isinstance(settings, dict) else settings
        for value in inner:
            yield from _texts(value)
