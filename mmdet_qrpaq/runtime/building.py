"""Builds from configs; an unknown name or setting becomes one sentence."""

import contextlib
import copy
import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from ..errors import ConfigError

_UNKNOWN_NAME = re.compile(r'([\w.]+) is not in the (.+?) registry')
_UNKNOWN_SETTING = re.compile(r"got an unexpected keyword argument '(\w+)'")
_MISSING_SETTING = re.compile(r'[\w.]+\(\) missing \d+ required .*')
# Our own settings, by far most often put into a class that does not have them.
_OWNERS = {
    'query_routing': "model.type='QRPaQDINO' or the QRPaQ class of another host",
    'pattern_query': "model.type='QRPaQDINO' or the QRPaQ class of another host",
    'mask_branch': "model.type='QRPaQDINO' or the QRPaQ class of a deformable host",
    'frozen_parts': "model.type='QRPaQDINO' or the QRPaQ class of another host",
    'quality': "model.bbox_head.type='QualityAwareDINOHead' or that of another host",
}


def build_model(cfg: Config) -> nn.Module:
    """Build the detector of a config, which is left as it is.

    Raises:
        ConfigError: If a name or a setting in `cfg.model` is unknown.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with explain_mistakes(cfg.model, 'model'):
        # Some of upstream's constructors write into the config they are given.
        return MODELS.build(copy.deepcopy(cfg.model))


def build_untrained(cfg: Config) -> nn.Module:
    """Build the detector of a config with the random weights of seed 0.

    Nothing is downloaded. Construction alone leaves upstream's level embedding as the
    memory happened to be.

    Raises:
        ConfigError: See `build_model`.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = build_model(cfg)
    with quietly():  # mmengine tells of every parameter
        model.init_weights()
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what mmengine logs and libraries print off the screen, but for warnings."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def explain_mistakes(cfg: dict, key: str) -> Iterator[None]:
    """Turn a registry's complaint about `cfg` into a sentence.

    Args:
        cfg: What is built.
        key: Its place in the whole config, for the message.

    Raises:
        ConfigError: If a type is not registered, or does not take the settings given
            to it. Other errors pass through.
    """
    try:
        yield
    except (KeyError, TypeError) as error:
        sentence = _explain(str(error), cfg, key)
        if sentence is None:
            raise
        raise ConfigError(sentence) from error


def _explain(text: str, cfg: dict, key: str) -> str | None:
    if found := _UNKNOWN_NAME.search(text):
        name, registry = found.groups()
        places = [
            place
            for place, setting, value in _settings(cfg, key)
            if setting == 'type' and value == name
        ]
        return (
            f'{places[0] if places else key}.type: {name!r} is not in the registry '
            f'{registry}; correct the name, or name the module that defines it in '
            'custom_imports.'
        )
    if found := _UNKNOWN_SETTING.search(text):
        wrong = found[1]
        places = [
            f'{place}.{setting}'
            for place, setting, _ in _settings(cfg, key)
            if setting == wrong
        ]
        if not places:  # passed by code, not by the user
            return None
        remedy = 'correct or remove it'
        if wrong in _OWNERS:
            remedy = f'it needs {_OWNERS[wrong]}'
        return f'{" or ".join(places)} is unknown: {text}; {remedy}.'
    if found := _MISSING_SETTING.search(text):
        return f'{key}: {found[0]}; add it to the config.'
    if 'must contain the key "type"' in text:
        return f'{key}: a part of it has no type; add type=NAME.'
    return None


def _settings(cfg: Any, place: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (place, setting, value) of every dict in a config, innermost last."""
    if isinstance(cfg, dict):
        for setting, value in cfg.items():
            yield place, setting, value
    children = cfg.items() if isinstance(cfg, dict) else enumerate(cfg)
    for name, value in children:
        if isinstance(value, dict | list | tuple):
            yield from _settings(value, f'{place}.{name}')
