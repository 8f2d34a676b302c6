"""Finds COCO files by what they hold, and their images by looking for them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import msgspec

from ..errors import ConfigError
from .images import SUFFIXES
from .splits import split_named

_LOOKED_AT = 50  # images that decide between two folders


class CocoImage(msgspec.Struct):
    """An image, as far as a folder is concerned."""

    id: Any = None
    file_name: Any = None


class CocoCategory(msgspec.Struct):
    """A class."""

    id: Any = None
    name: Any = None
    supercategory: Any = None


class CocoObject(msgspec.Struct):
    """An object, as far as splits and classes are concerned."""

    image_id: Any = None
    category_id: Any = None
    iscrowd: Any = 0


class CocoIndex(msgspec.Struct):
    """What a COCO file holds, without boxes and masks."""

    images: list[CocoImage]
    annotations: list[CocoObject]
    categories: list[CocoCategory]


def read_index(path: Path) -> CocoIndex | None:
    """Read a COCO file; `None`: it is JSON of another kind.

    Raises:
        ConfigError: It cannot be read, or is no JSON.
    """
    try:
        content = path.read_bytes()
        try:
            return msgspec.json.decode(content, type=CocoIndex)
        except msgspec.ValidationError:
            return None
        except msgspec.DecodeError:  # such as NaN, which Python writes
            return msgspec.convert(json.loads(content), CocoIndex)
    except msgspec.ValidationError:
        return None
    except OSError as error:
        raise ConfigError(f'{path} cannot be read ({error.strerror}).') from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f'{path} is not readable as JSON ({error}); write it again.'
        ) from error


def find_files(folder: Path) -> dict[str | None, list[Path]]:
    """Return the files that may be COCO, by the split they are named for.

    They lie at the top, in `annotations/` or in a folder named for a split. A JSON
    beside the image of its name belongs to that image alone.
    """
    found: dict[str | None, list[Path]] = {}
    for place in [folder, *_folders(folder, 1)]:
        place_split = split_named(place.name) if place != folder else None
        if place != folder and not (place_split or 'annotation' in place.name.lower()):
            continue
        for path in sorted(place.glob('*.json')):
            if not any(path.with_suffix(suffix).exists() for suffix in SUFFIXES):
                split = split_named(path.stem) or place_split
                found.setdefault(split, []).append(path)
    # Captions and key points of the same images lie beside `instances_train.json`.
    return {
        split: [path for path in paths if 'instances' in path.stem.lower()] or paths
        for split, paths in found.items()
    }


def find_images(folder: Path, ann_file: Path, split: str, names: Sequence[str]) -> Path:
    """Return the folder that the names of a COCO file are below.

    Args:
        folder: The data set.
        names: `file_name` of all images.

    Raises:
        ConfigError: A name leads out of its folder, or no folder holds any of them.
    """
    for name in names:
        path = PureWindowsPath(name) if isinstance(name, str) else None
        if path is None or path.anchor or '..' in path.parts:
            raise ConfigError(
                f'{ann_file} names the image {name!r}, which is no path below a '
                'folder; write one.'
            )
    looked_at = names[:: max(1, len(names) // _LOOKED_AT)]

    def fit(place: Path) -> tuple:
        present = sum((place / name).is_file() for name in looked_at)
        named = split_named(place.relative_to(folder).as_posix())
        return present, (named == split) - (named not in (split, None))

    places = [folder, *_folders(folder, 2)]
    best = max(places, key=fit)
    if not fit(best)[0]:
        seen = ', '.join(place.relative_to(folder).as_posix() for place in places[1:9])
        raise ConfigError(
            f'{ann_file} names the image {names[0]!r}, which lies neither in {folder} '
            f'nor in a folder of it ({seen or "there is none"}); put the images there.'
        )
    return best


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders in a folder, upper ones first."""
    below = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith('.')
    )
    yield from below
    if depth > 1:
        for path in below:
            yield from _folders(path, depth - 1)
