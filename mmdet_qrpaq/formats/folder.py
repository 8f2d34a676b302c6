"""Opens a folder of annotated images, whatever its layout, as COCO files."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import ConfigError
from .copies import (
    ann_file,
    copies_in,
    digest_of,
    divide,
    unite,
    write_copies,
    written_before,
)
from .layouts import coco, yolo
from .layouts.plan import Plan
from .layouts.single_files import look_for_labelme, look_for_voc
from .listing import Listing
from .splits import SPLITS

LOOKED_FOR = (
    'COCO (JSON with images, annotations and categories, at the top, in annotations/, '
    'train/ or valid/)',
    'YOLO (data.yaml, obj.names or classes.txt, and a .txt file for an image)',
    'VOC (.xml files with <annotation>)',
    "labelme (.json files with 'shapes')",
)
LOOKS: tuple[Callable[[Listing], coco.CocoFiles | Plan | None], ...]
LOOKS = (coco.look, yolo.look, look_for_voc, look_for_labelme)


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        ann_file: COCO JSON.
        images: Folder that each `file_name` in it is below.
    """

    ann_file: Path
    images: Path


@dataclass(frozen=True)
class DataFolder:
    """A data set that was found.

    Attributes:
        folder: Where.
        layout: `'COCO'`, `'YOLO'`, `'VOC'` or `'labelme'`.
        splits: `'train'`, `'val'` and maybe `'test'`; for a test, those that are there.
        classes: Names in the order of the labels, the same in every split.
        notes: What was found and decided, in sentences to print.
    """

    folder: Path
    layout: str
    splits: dict[str, Split]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def open_folder(
    folder: Path,
    converted: Path,
    *,
    crowd_as_objects: bool = False,
    skip_broken: bool = False,
    for_training: bool = True,
) -> DataFolder:
    """Find out what a folder holds.

    What is COCO and has train and val is used as it is. Anything else is written anew,
    unless that was done before and nothing has changed since.

    Args:
        folder: The data set; nothing is written to it.
        converted: Where to write `instances_{split}.json` of what is not COCO or has to
            be changed.
        crowd_as_objects: Take objects marked `iscrowd` as objects like any other.
        skip_broken: Leave out broken objects, annotation files and images.
        for_training: Require train images; a test needs none.

    Raises:
        ConfigError: No layout fits, or more than one, or annotations are broken.
    """
    if os.path.realpath(folder) == os.path.realpath(converted):
        raise ConfigError(
            f'{folder} is the data set, which is not written to; choose another --out.'
        )
    copies = copies_in(converted)
    found = _look(folder, [path for path, copy in copies.items() if copy])
    if not found.splits or (for_training and 'train' not in found.splits):
        raise ConfigError(
            f'{folder} is {found.layout} ({found.found}) with '
            f'{" and ".join(found.splits) or "no annotated images"}, but without '
            'train; name a part train.'
        )
    opening = f'{folder} is {found.layout}: {found.found}.'
    if (classes := found.unchanged(crowd_as_objects)) is not None:
        splits = {
            split: Split(found.files[split], found.images(split))
            for split in found.splits
        }
        return DataFolder(
            folder, found.layout, splits, classes, (opening, *found.notes)
        )
    is_divided = 'train' in found.splits and 'val' not in found.splits
    names = [s for s in SPLITS if s in found.splits or (s == 'val' and is_divided)]
    digest = digest_of(found.decisive(), found.layout, crowd_as_objects, skip_broken)
    paths = [ann_file(converted, split) for split in names]
    before = written_before(copies, paths, folder, digest)
    if before is None:
        documents, classes, notes = found.read(crowd_as_objects, skip_broken)
        if not classes:
            raise ConfigError(f'{folder} holds no object; annotate some.')
        unite(documents, classes)
        if is_divided:
            notes.append(divide(documents, folder))
        write_copies(converted, documents, folder, digest, notes)
    else:
        classes, notes = before
    splits = {
        split: Split(
            ann_file(converted, split),
            found.images(split if split in found.splits else 'train'),
        )
        for split in names
    }
    told = f'COCO files in {converted} were {"written" if before is None else "there"}.'
    return DataFolder(folder, found.layout, splits, classes, (opening, *notes, told))


def _look(folder: Path, copies: Sequence[Path]) -> coco.CocoFiles | Plan:
    """Return the one layout that fits.

    Args:
        copies: Files written before, which are not looked at.

    Raises:
        ConfigError: None does, or more than one.
    """
    if not folder.is_dir():
        raise ConfigError(f'{folder} is no folder; correct its path.')
    listing = Listing(folder, without=copies)
    fits = [found for look in LOOKS if (found := look(listing)) is not None]
    if len(fits) == 1:
        return fits[0]
    if fits:
        several = ' and as '.join(f'{found.layout} ({found.found})' for found in fits)
        raise ConfigError(
            f'{folder} can be read as {several}; keep one of them in that folder.'
        )
    endings = Counter(PurePosixPath(name).suffix.lower() for name in listing.names)
    seen = ', '.join(f'{n} {ending or "other"}' for ending, n in endings.most_common(6))
    places = ', '.join([place for place in listing.places if place != '.'][:6])
    raise ConfigError(
        f'{folder} has no layout that is known: looked for {"; ".join(LOOKED_FOR)}; '
        f'seen: {seen or "no file"}{f" in {places}" if places else ""}.'
    )
