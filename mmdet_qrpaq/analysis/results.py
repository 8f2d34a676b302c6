"""What an analysis leaves behind: one JSON file, checked against its schema.

Called by the tools in ``tools/analysis``; read again by the report. A result tells what
it was made from, and the numbers::

    {"tool": "query_usage", "origin": {"command": ..., "versions": ..., ...},
     "numbers": {...}}
"""

import functools
import importlib.metadata
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema

from ..errors import ConfigError

NUMBER = {'type': 'number'}
COUNT = {'type': 'integer', 'minimum': 0}
SHARE = {'type': 'number', 'minimum': 0, 'maximum': 1}
TEXT = {'type': 'string'}


def fields(**properties: dict) -> dict:
    """Return the schema of an object that has exactly these fields."""
    return {
        'type': 'object',
        'properties': properties,
        'required': list(properties),
        'additionalProperties': False,
    }


def list_of(items: dict) -> dict:
    """Return the schema of a list."""
    return {'type': 'array', 'items': items}


def table_of(values: dict) -> dict:
    """Return the schema of an object with any names."""
    return {'type': 'object', 'additionalProperties': values}


def or_none(schema: dict) -> dict:
    """Return the schema of what may be missing."""
    return {'anyOf': [schema, {'type': 'null'}]}


def describe_origin(**made_from: Any) -> dict[str, Any]:
    """Return what a result was made from, with command, date and versions.

    Args:
        made_from: What the tool looked at: config, checkpoint, split, thresholds, ...
    """
    return dict(
        made_from,
        command=' '.join(sys.argv),
        date=date.today().isoformat(),
        versions=installed_versions('torch', 'mmdet', 'mmcv'),
    )


@functools.cache
def installed_versions(*modules: str) -> dict[str, str]:
    """Return versions by the distributions, upstream's or forks, that have modules."""
    owners = importlib.metadata.packages_distributions()
    names = {owners.get(name, [name])[0] for name in modules}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def write_result(
    path: Path, tool: str, origin: dict[str, Any], numbers: dict, schema: dict
) -> Path:
    """Write a result, whole or not at all; return its path.

    Args:
        tool: Name of the tool, without ``.py``.
        origin: See `describe_origin`.
        numbers: JSON types only.
        schema: JSON schema of ``numbers``.

    Raises:
        jsonschema.ValidationError: The numbers are not what the tool promises, which
            is a mistake of the tool.
    """
    jsonschema.validate(numbers, schema)
    return write_json(path, dict(tool=tool, origin=origin, numbers=numbers))


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file and its folder, whole or not at all; return its path.

    Raises:
        ValueError: There is a NaN or an infinity in it, which is no JSON: browsers and
            other languages refuse it.
    """
    text = json.dumps(content, indent=1, allow_nan=False) + '\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'{path.name}.tmp')
    draft.write_text(text)
    draft.replace(path)
    return path


def read_result(path: Path) -> dict[str, Any]:
    """Read what `write_result` wrote.

    Raises:
        ConfigError: The file is missing or is no result.
    """
    try:
        result = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f'{path} cannot be read as a result ({error}); run the tool that makes it.'
        ) from error
    if not isinstance(result, dict) or not {'tool', 'origin', 'numbers'} <= set(result):
        raise ConfigError(f'{path} is no result of a tool in tools/analysis.')
    return result
