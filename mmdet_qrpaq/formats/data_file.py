"""Reads class names, whose order gives the category ids, and YOLO's data files."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError
from .shapes import Broken, read_text
from .splits import split_named

YAML = ('.yaml', '.yml')
_FILES = (*YAML, '.txt', '.names')
_NOTHING = ('', '~', 'null', 'Null', 'NULL')  # YAML's ways to say that a key is unset
# What YOLO tools call the file with the class names, in the order of preference.
NEAR_LABELS = ('data.yaml', 'classes.txt', 'obj.names')


@dataclass(frozen=True)
class DataFile:
    """What a file beside YOLO labels says of them.

    Attributes:
        path: The file.
        classes: Class names in the order of their numbers.
        key_points: How many key points follow the box in a row, and how many values
            each has; `None`: none.
        turned: Whether it says that the boxes are turned, by `task: obb`.
        root: The folder that paths are below, as written.
        splits: Folders, lists of images or images of each split, as written.
    """

    path: Path
    classes: tuple[str, ...]
    key_points: tuple[int, int] | None = None
    turned: bool = False
    root: str | None = None
    splits: dict[str, list[str]] = field(default_factory=dict)


def parse_classes(text: str) -> tuple[str, ...]:
    """Read `--classes`: names between commas, or a file.

    Raises:
        ConfigError: The file is missing or wrong, or a name is empty or repeated.
    """
    if os.path.isfile(text):  # Path.is_file raises for a list of many names
        return read_data_file(Path(text)).classes
    if text.lower().endswith(_FILES):
        raise ConfigError(f'--classes {text} does not exist; correct its path.')
    return _check(text.split(','), '--classes')


def find_data_file(folder: Path) -> DataFile | None:
    """Read what stands beside the labels, or up to two folders above.

    Raises:
        ConfigError: It is wrong.
    """
    folder = folder.absolute()
    for name in NEAR_LABELS:
        for place in (folder, *folder.parents[:2]):
            if (place / name).is_file():
                return read_data_file(place / name)
    return None


def read_data_file(path: Path) -> DataFile:
    """Read one name a line, a YOLO `data.yaml`, or Darknet's `obj.data`.

    Raises:
        ConfigError: It cannot be read, or says what cannot be.
    """
    try:
        text = read_text(path)
    except Broken as error:
        raise ConfigError(f'{path} {error}; save it again.') from error
    if path.suffix.lower() in YAML:
        return _read_yaml(path, text)
    if path.suffix.lower() == '.data':
        pairs = [line.partition('=') for line in text.splitlines()]
        content = {key.strip(): value.strip() for key, _, value in pairs if value}
        # The names stand beside it, whatever folder its own paths begin with.
        names = path.with_name(Path(content.get('names', 'obj.names')).name)
        classes = read_data_file(names).classes
        return DataFile(path, classes, splits=_splits(content, path))
    return DataFile(path, _check(text.strip().splitlines(), str(path)))


def holds_names(path: Path) -> bool:
    """Whether it is YAML with `names`, or would be `data.yaml` if it could be read."""
    try:
        content = yaml.load(read_text(path), yaml.BaseLoader)
    except (Broken, yaml.YAMLError, RecursionError):
        return path.name == 'data.yaml'
    return isinstance(content, dict) and 'names' in content


def _read_yaml(path: Path, text: str) -> DataFile:
    try:
        # Text alone, as it is written: a class may be called 1, off or no.
        content = yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        where = ' '.join(str(error).split())
        raise ConfigError(f'{path} is not readable as YAML ({where}).') from error
    if not isinstance(content, dict):
        content = {}
    content = {key: value for key, value in content.items() if value not in _NOTHING}
    names = content.get('names')
    if isinstance(names, dict):
        if set(names) != {str(index) for index in range(len(names))}:
            raise ConfigError(
                f'{path}: its `names` are not numbered 0, 1, 2, ...; correct them.'
            )
        names = [names[str(index)] for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ConfigError(f'{path} has no `names`; list the classes there.')
    classes = _check(names, str(path))
    if content.get('nc') not in (None, str(len(classes))):
        raise ConfigError(
            f'{path} says `nc: {content["nc"]}`, but has {len(classes)} `names`; '
            'correct one.'
        )
    root = content.get('path')
    if root is not None and not isinstance(root, str):
        raise ConfigError(f'{path}: its `path` is no folder; correct it.')
    key_points = _key_points(content.get('kpt_shape'), path)
    turned = content.get('task') in ('obb', 'OBB')
    return DataFile(path, classes, key_points, turned, root, _splits(content, path))


def _key_points(written: Any, path: Path) -> tuple[int, int] | None:
    if written is None:
        return None
    right = isinstance(written, list) and len(written) == 2
    if not right or not all(isinstance(v, str) and v.isdecimal() for v in written):
        raise ConfigError(
            f'{path}: its `kpt_shape` is no pair of numbers such as [17, 3]; correct '
            'it.'
        )
    number, values = map(int, written)
    return (number, values) if number else None


def _splits(content: dict, path: Path) -> dict[str, list[str]]:
    """Return what `train`, `val` (also as `valid`, `validation`) and `test` name."""
    splits: dict[str, list[str]] = {}
    for key, value in content.items():
        split = split_named(key) if isinstance(key, str) and key.isalpha() else None
        if split is None or not value:
            continue
        entries = [value] if isinstance(value, str) else value
        right = isinstance(entries, list)
        if not right or not all(isinstance(e, str) and e for e in entries):
            raise ConfigError(
                f'{path}: its `{key}` is neither a path nor a list of paths; correct '
                'it.'
            )
        if split in splits:
            raise ConfigError(
                f'{path} names its {split} images twice, the second time as `{key}`; '
                'remove one.'
            )
        splits[split] = entries
    return splits


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
