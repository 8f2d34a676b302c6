"""Reads a config as mmengine has written it into a checkpoint; nothing of it is run."""

import ast
from collections.abc import Iterator
from typing import Any


def read_settings(text: str | None) -> dict[str, Any]:
    """Return the settings of a config that mmengine has written out.

    Returns:
        Those that are made of texts, numbers, lists and dicts alone; none, if it was
        written by another program.
    """
    return dict(_assigned(text))


def read_setting(text: str | None, name: str) -> Any:
    """Return one of the settings that `read_settings` does, `None` if there is none."""
    return next((value for key, value in _assigned(text, name)), None)


def _assigned(text: str | None, name: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the settings, or the one of a name, where they can be read."""
    try:
        lines = ast.parse(text or '').body
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return
    for line in lines:
        if not isinstance(line, ast.Assign):
            continue
        key = ast.unparse(line.targets[0])
        if name not in (None, key):
            continue
        try:
            yield key, _literal(line.value)
        except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
            continue


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
