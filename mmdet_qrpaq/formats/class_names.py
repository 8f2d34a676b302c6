"""Reads class names, whose order gives the category ids."""

import os
from pathlib import Path

import yaml

from ..errors import ConfigError
from .shapes import Broken, read_text

_YAML = ('.yaml', '.yml')
_FILES = (*_YAML, '.txt', '.names')


def parse_classes(text: str) -> tuple[str, ...]:
    """Read `--classes`: names between commas, or a file.

    Raises:
        ConfigError: The file is missing or wrong, or a name is empty or repeated.
    """
    if os.path.isfile(text):  # Path.is_file raises for a list of many names
        return read_class_file(Path(text))
    if text.lower().endswith(_FILES):
        raise ConfigError(f'--classes {text} does not exist; correct its path.')
    return _check(text.split(','), '--classes')


def read_class_file(path: Path) -> tuple[str, ...]:
    """Read one name a line, or `names` of a YOLO `data.yaml` (a list or numbered).

    Raises:
        ConfigError: It cannot be read, or a name is empty or repeated.
    """
    try:
        text = read_text(path)
        if path.suffix.lower() not in _YAML:
            return _check(text.strip().splitlines(), str(path))
        # Text alone, as it is written: a class may be called 1, off or no.
        content = yaml.load(text, yaml.BaseLoader)
    except Broken as error:
        raise ConfigError(f'{path} {error}; save it again.') from error
    except (yaml.YAMLError, RecursionError) as error:
        where = ' '.join(str(error).split())
        raise ConfigError(f'{path} is not readable as YAML ({where}).') from error
    names = content.get('names') if isinstance(content, dict) else None
    if isinstance(names, dict):
        if set(names) != {str(index) for index in range(len(names))}:
            raise ConfigError(
                f'{path}: its `names` are not numbered 0, 1, 2, ...; correct them.'
            )
        names = [names[str(index)] for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ConfigError(f'{path} has no `names`; list the classes there.')
    return _check(names, str(path))


def _check(names: list[str], source: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in names)
    if not names or '' in names:
        raise ConfigError(f'{source} has an empty class name; remove or fill it.')
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ConfigError(
            f'{source} names the class {repeated[0]!r} twice; rename one.'
        )
    return names
