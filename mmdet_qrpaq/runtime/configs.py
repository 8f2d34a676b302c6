"""Reads a config file; whatever is wrong with it becomes one sentence."""

import copy
import traceback
from pathlib import Path
from typing import Any

import mmengine.config.config
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.utils import is_installed

from ..errors import ConfigError
from ..settings.together import bring_together


def read_config(name: str, overrides: dict[str, Any] | None = None) -> Config:
    """Read the config of a detector and change some of its settings.

    Args:
        name: A path, or `package::path` for a config shipped in a package.
        overrides: Dotted keys and their values.

    Raises:
        ConfigError: There is no such config, it cannot be read, it defines no model,
            or the overrides do not fit it.
    """
    package = name.partition('::')[0] if '::' in name else None
    if package is None and not Path(name).is_file():
        raise ConfigError(
            f'config {name} does not exist in {Path.cwd()}; give the path of a .py '
            'config file.'
        )
    # get_config would install it.
    if package is not None and not is_installed(package):
        raise ConfigError(
            f'config {name}: the package {package} is not installed; give a path, or '
            'package::path as in mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py.'
        )
    try:
        cfg = get_config(name) if package else Config.fromfile(name)
    except Exception as error:  # a config is a program, it can raise anything
        raise ConfigError(f'config {name} cannot be read: {_reason(error)}') from error
    override(cfg, overrides or {}, '--cfg-options', name)
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(
            f'config {name} defines no `model`; give the config of a detector.'
        )
    return cfg


def override(cfg: Config, settings: dict[str, Any], what: str, name: str) -> None:
    """Change settings of a config: dotted keys and their values; see `bring_together`.

    Raises:
        ConfigError: `what` do not fit the config of that name.
    """
    try:
        cfg.merge_from_dict(copy.deepcopy(settings))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{what} do not fit config {name}: {_text(error)}') from error
    bring_together(cfg)


def format_configs_once() -> None:
    """Keep the last config that was laid out as text, for whoever asks for it again.

    mmengine lays out the config of a training four times (log, work directory, once
    for each hook that stores it), with yapf, which takes a second each time. OneDL's
    fork does without yapf.
    """
    lay_out = getattr(mmengine.config.config, 'FormatCode', None)
    if lay_out is None or hasattr(lay_out, 'kept'):
        return
    kept = {}

    def lay_out_once(text: str, **style: Any) -> Any:
        key = (text, repr(style))
        if key not in kept:
            laid_out = lay_out(text, **style)
            kept.clear()
            kept[key] = laid_out
        return kept[key]

    lay_out_once.kept = kept
    mmengine.config.config.FormatCode = lay_out_once


def _reason(error: BaseException) -> str:
    """Say what a config file raised and where."""
    # mmengine raises these two anew, with its search path or without the line.
    while isinstance(error, ImportError | SyntaxError) and (
        inner := error.__cause__ or error.__context__
    ):
        error = inner
    if isinstance(error, SyntaxError):
        line = (error.text or '').strip()
        return f'{error.msg} in line {error.lineno} ({line})'
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if 'mmengine' in frame.filename or frame.filename.startswith('<'):
        return _text(error)
    return f'{_text(error)} ({frame.filename}, line {frame.lineno})'


def _text(error: BaseException) -> str:
    """Return the error on one line; `str` of a KeyError would be in quotes."""
    bare = isinstance(error, KeyError) and error.args
    words = str(error.args[0] if bare else error).split()
    return f'{type(error).__name__}: {" ".join(words)[:300]}'
