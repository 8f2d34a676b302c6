"""A config file that holds what differs from another config, for people to read."""

import keyword
import math
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError
from ..settings.decision import Decision

DELETE = '_delete_'
_WIDTH = 88
# Written once; what is equal to them, or starts with them, is written by name.
_NAMED = ('data_root', 'metainfo')
_COMMENT = textwrap.TextWrapper(_WIDTH, initial_indent='# ', subsequent_indent='#   ')


def difference(base: dict, fitted: dict) -> dict:
    """Return what a file on top of `base` must say to be `fitted`."""
    changed = {}
    for key, value in fitted.items():
        if key in base and type(base[key]) is type(value) and base[key] == value:
            continue
        before = base.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            gone = before.keys() - value.keys()
            changed[key] = (
                {DELETE: True, **value} if gone else difference(before, value)
            )
        elif isinstance(value, dict) and key in base:
            changed[key] = {DELETE: True, **value}
        else:
            changed[key] = value
    return changed


def leaf_text(
    base: Config, base_name: str, fitted: Config, decided: Sequence[Decision]
) -> str:
    """Return the text of the file.

    Args:
        base_name: What the file calls its base.
        decided: Reasons, as comments above what they are about.

    Raises:
        ConfigError: A changed setting has no text, as a class has none.
    """
    changed = difference(base.to_dict(), fitted.to_dict())
    first = [key for key in _NAMED if key in changed]
    names = {key: changed[key] for key in first}
    lines = [
        '# Written by --data: what it changes in the config below, and why. It is a',
        '# config like any other: train it again, test it, base another one on it.',
        f'_base_ = {_text(base_name, 0, {})}',
    ]
    for key in [*first, *(key for key in changed if key not in first)]:
        lines.append('')
        for decision in decided:
            if decision.part == key:
                lines += _COMMENT.wrap(str(decision))
        known = {} if key in first else names
        value = _text(changed[key], len(key) + 3, known)
        lines.append(f'{key} = {value}')
        # mmengine takes `_delete_` out of what it reads, for all its names at once.
        if isinstance(changed[key], dict) and DELETE not in value:
            names = {**names, key: changed[key]}
    return '\n'.join(lines) + '\n'


def name_of_base(config: str, leaf: Path) -> str:
    """Return how a leaf names its base: by its path, relative where both may move.

    A config in a package is named by its path, too: `package::path` in `_base_` gives
    all its parts a scope, which they do not have in the config itself.
    """
    here, path = Path.cwd(), Path(os.path.abspath(config))
    folder = Path(os.path.abspath(leaf.parent))
    if path.is_relative_to(here) and folder.is_relative_to(here):
        return Path(os.path.relpath(path, folder)).as_posix()
    return str(path)


def leaf_name(config: str, folder: str | Path) -> str:
    """Return the name of a leaf, without a suffix: of its base and its data."""
    base = Path(config.rpartition('::')[2]).stem
    name = os.path.basename(os.path.abspath(folder))
    return re.sub(r'[^\w-]+', '_', f'{base}_{name}').strip('_')


def _text(value: Any, column: int, names: dict[str, Any], indent: int = 0) -> str:
    """Write a value as Python.

    Args:
        column: Where its first line begins.
        names: Values that have a name in the file.
        indent: Of its further lines.
    """
    for name, named in names.items():
        if type(value) is not type(named):
            continue
        if value == named:
            return name
        if isinstance(value, str) and value.startswith(named):
            return f'{name} + {_plain(value[len(named) :])}'
    if isinstance(value, dict):
        is_call = all(isinstance(k, str) and _is_name(k) for k in value)
        begin, end = ('dict(', ')') if is_call else ('{', '}')
        heads = [f'{k}=' if is_call else f'{k!r}: ' for k in value]
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        begin, end = '[]' if isinstance(value, list) else '()'
        heads, inner = [''] * len(value), list(value)
    else:
        return _plain(value)
    short = [h + _text(v, 0, names) for h, v in zip(heads, inner, strict=True)]
    comma = ',' if isinstance(value, tuple) and len(value) == 1 else ''
    line = f'{begin}{", ".join(short)}{comma}{end}'
    if '\n' not in line and column + len(line) <= _WIDTH:
        return line
    indent += 4
    pad = ' ' * indent
    if isinstance(value, dict) or any(isinstance(item, dict) for item in inner):
        lines = [
            pad + head + _text(item, indent + len(head), names, indent) + ','
            for head, item in zip(heads, inner, strict=True)
        ]
    else:
        lines = _filled([f'{item},' for item in short], pad)
    return '\n'.join([begin, *lines, pad[4:] + end])


def _filled(words: Sequence[str], pad: str) -> list[str]:
    """Put as many on a line as there is room for."""
    lines = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f' {word}'
        else:
            lines.append(pad + word)
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ConfigError(
            f'the config holds {value!r}, which cannot be written into another one; '
            "take a config in mmengine's text style."
        )
    # mmengine puts values of variables where it sees double braces.
    text = repr(value)
    return text.replace('{{', '{\\x7b') if isinstance(value, str) else text


def _is_name(key: str) -> bool:
    return key.isidentifier() and not keyword.iskeyword(key)
