"""Finds COCO files by what they hold, and their images by looking for them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ...errors import ConfigError
from ..listing import Listing, called, join, stem_of
from ..shapes import decode_json
from ..splits import SPLITS, split_named, split_of_folder

# From the root or a drive, or through `..`; Windows takes slashes of both kinds.
_LEADS_AWAY = re.compile(r'^(\w:|[\\/])|(^|[\\/])\.\.([\\/]|$)')
_LOOKED_AT = 50  # images that decide between two folders
# What COCO 2017 says of the same images, beside `instances_train2017.json`.
_OTHERS = ('captions', 'person_keypoints', 'panoptic', 'stuff')


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
        return decode_json(path.read_bytes(), CocoIndex)
    except msgspec.ValidationError:
        return None
    except OSError as error:
        raise ConfigError(f'{path} cannot be read ({error.strerror}).') from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f'{path} is not readable as JSON ({error}); write it again.'
        ) from error


@dataclass(frozen=True)
class CocoFiles:
    """What is to be read of a folder of COCO files.

    Attributes:
        files: The COCO file of each split.
        image_folders: The folder that its `file_name` is below.
        indexes: What it holds.
        notes: What was decided.
    """

    files: dict[str, Path]
    image_folders: dict[str, Path]
    indexes: dict[str, CocoIndex]
    notes: tuple[str, ...]

    layout = 'COCO'

    @property
    def found(self) -> str:
        """What it was recognised by."""
        return ' and '.join(path.name for path in self.files.values())

    @property
    def splits(self) -> list[str]:
        """The splits that are there."""
        return list(self.files)

    def images(self, split: str) -> Path:
        """Return the folder that `file_name` is below."""
        return self.image_folders[split]

    def decisive(self) -> Iterator[Path | str]:
        """Return all files that decide what is read, and what was decided."""
        yield from (*self.notes, *self.files.values())

    def unchanged(self, crowd_as_objects: bool) -> tuple[str, ...] | None:
        """Return the classes if the files can be used as they are.

        Raises:
            ConfigError: A category has no name, or all objects of a split are crowds.
        """
        classes = self._classes()
        same = all(names == list(classes) for names in self._lists())
        crowds = False
        for split, index in self.indexes.items():
            marks = [bool(entry.iscrowd) for entry in index.annotations]
            crowds |= any(marks)
            if marks and all(marks) and not crowd_as_objects:
                raise ConfigError(
                    f'{self.files[split]} marks all its {len(marks)} objects as '
                    '`iscrowd`, which are neither learned nor counted; pass '
                    '--crowd-as-objects to take them as objects.'
                )
        is_divided = 'train' in self.files and 'val' not in self.files
        changed = not same or is_divided or (crowds and crowd_as_objects)
        return None if changed else classes

    def read(
        self, crowd_as_objects: bool, skip_broken: bool
    ) -> tuple[dict[str, dict], tuple[str, ...], list[str]]:
        """Return the documents, as they stand in the files, the classes, and notes."""
        documents = {
            split: json.loads(path.read_bytes()) for split, path in self.files.items()
        }
        notes = list(self.notes)
        entries = [e for d in documents.values() for e in d['annotations']]
        crowds = [e for e in entries if e.get('iscrowd')] if crowd_as_objects else []
        for entry in crowds:
            entry['iscrowd'] = 0
        if crowds:
            notes.append(
                f'{len(crowds)} objects marked `iscrowd` are taken as objects.'
            )
        classes, lists = self._classes(), self._lists()
        if any(names != lists[0] for names in lists):
            notes.append('The splits list other classes, or in another order: united.')
        if twice := [name for name in lists[0] if lists[0].count(name) > 1]:
            notes.append(f'Several categories have the name {twice[0]}: one class.')
        if left_out := sorted({*self._names()} - {*classes}):
            notes.append(
                f'The class {left_out[0]} has no object and only groups others; left '
                'out.'
            )
        return documents, classes, notes

    def _lists(self) -> list[list[Any]]:
        """Return the names of the categories in each file."""
        return [[c.name for c in index.categories] for index in self.indexes.values()]

    def _names(self) -> list[str]:
        """Return the names of all categories, each once.

        Raises:
            ConfigError: One has no name.
        """
        names = {}
        for split, index in self.indexes.items():
            for category in index.categories:
                if not isinstance(category.name, str):
                    raise ConfigError(
                        f'{self.files[split]} names the category {category.id} '
                        f'{category.name!r}; give it a text for a name.'
                    )
                names[category.name] = None
        return list(names)

    def _classes(self) -> tuple[str, ...]:
        """Return the names without those that only group others, as Roboflow's first.

        Raises:
            ConfigError: A category has no name.
        """
        names = self._names()
        used, groups, top = set(), set(), set()
        for index in self.indexes.values():
            ids = {repr(entry.category_id) for entry in index.annotations}
            for category in index.categories:
                if repr(category.id) in ids:
                    used.add(category.name)
                group = category.supercategory
                if not isinstance(group, str) or group in ('', 'none'):
                    top.add(category.name)
                elif group != category.name:
                    groups.add(group)
        return tuple(n for n in names if n in used or n not in groups & top)


def look(listing: Listing) -> CocoFiles | None:
    """Find COCO files and their images.

    Raises:
        ConfigError: One cannot be read, two are of one split, or images are missing.
    """
    indexes: dict[str | None, dict[str, CocoIndex]] = {}
    notes = []
    for split, names in _candidates(listing).items():
        for name in names:
            try:
                index = read_index(listing.folder / name)
            except ConfigError as error:
                if split is not None:
                    raise
                notes.append(str(error))
                continue
            if index is not None and not index.images:
                notes.append(f'{name} lists no images; not used.')
            elif index is not None:
                indexes.setdefault(split, {})[name] = index
    if 'train' not in indexes and None in indexes:
        indexes['train'] = indexes.pop(None)
    unused = [*indexes.pop(None, ())]
    notes += [f'{name} is named for no split; not used.' for name in unused]
    files, images, read = {}, {}, {}
    for split in [split for split in SPLITS if split in indexes]:
        if len(indexes[split]) > 1:
            raise ConfigError(
                f'{listing.folder} holds {len(indexes[split])} COCO files for {split}, '
                f'{" and ".join(indexes[split])}; keep one.'
            )
        ((name, index),) = indexes[split].items()
        if split == 'test' and not index.annotations:
            notes.append(f'{name} has no annotations; not used.')
            continue
        place = _find_images(listing, name, split, index)
        files[split], images[split] = listing.folder / name, listing.folder / place
        read[split] = index
        notes.append(f'{split}: {name}, images in {called(place)}.')
    return CocoFiles(files, images, read, tuple(notes)) if files else None


def _candidates(listing: Listing) -> dict[str | None, list[str]]:
    """Return the files that may be COCO, by the split they are named for.

    They lie at the top, or in folders named for a split or for annotations. A JSON
    beside the image of its name belongs to that image alone.
    """
    images = {stem_of(name) for name in listing.images()}
    found: dict[str | None, list[str]] = {}
    for name in listing.ending('.json'):
        path = PurePosixPath(name)
        places = path.parent.parts
        if stem_of(name) in images or not all(
            split_of_folder(place) or 'annotation' in place.lower() for place in places
        ):
            continue
        split = split_named(path.stem) or split_of_folder(str(path.parent))
        found.setdefault(split, []).append(name)
    return {
        split: [n for n in names if not PurePosixPath(n).name.startswith(_OTHERS)]
        or names
        for split, names in found.items()
    }


def _find_images(listing: Listing, name: str, split: str, index: CocoIndex) -> str:
    """Return the folder that the names in a COCO file are below.

    Raises:
        ConfigError: A name leads out of its folder, or no folder holds any of them.
    """
    images = [image.file_name for image in index.images]
    for image in images:
        if not isinstance(image, str) or _LEADS_AWAY.search(image):
            raise ConfigError(
                f'{listing.folder / name} names the image {image!r}, which is no path '
                'below a folder; write one.'
            )
    looked_at = images[:: max(1, len(images) // _LOOKED_AT)]

    def fit(place: str) -> int:
        return sum(join(place, image) in listing.names for image in looked_at)

    place = listing.best_folder(fit, split)
    if place is None:
        raise ConfigError(
            f'{listing.folder / name} names the image {images[0]}, which is in no '
            f'folder of {listing.folder}; put the images there.'
        )
    return place
