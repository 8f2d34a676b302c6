"""Opens a folder of annotated images, whatever its layout, as COCO files."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .coco import find_files, find_images, read_index


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
        splits: `'train'`, `'val'` and maybe `'test'`.
        classes: Names in the order of the labels, the same in every split.
        notes: What was found and decided, in sentences to print.
    """

    folder: Path
    layout: str
    splits: dict[str, Split]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def open_folder(
    folder: Path, converted: Path, *, crowd_as_objects: bool = False
) -> DataFolder:
    """Find out what a folder holds.

    Args:
        folder: The data set; nothing is written to it.
        converted: Where to write `instances_{split}.json` of what is not COCO or has to
            be changed.
        crowd_as_objects: Take objects marked `iscrowd` as objects like any other.

    Raises:
        ConfigError: No layout fits, or more than one, or annotations are broken.
    """
    if not folder.is_dir():
        raise ConfigError(f'{folder} is no folder; correct its path.')
    splits, classes = {}, []
    for split, paths in find_files(folder).items():
        for path in paths:
            index = read_index(path)
            if index is None or not index.images:
                continue
            names = [image.file_name for image in index.images]
            splits[split or 'train'] = Split(
                path, find_images(folder, path, split or 'train', names)
            )
            classes += [category.name for category in index.categories]
    if not splits:
        raise ConfigError(f'{folder} holds no annotations of a known format.')
    return DataFolder(folder, 'COCO', splits, tuple(dict.fromkeys(classes)), ())
