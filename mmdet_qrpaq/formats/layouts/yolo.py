"""Finds YOLO: Ultralytics', Roboflow's and CVAT's layouts, or images and labels."""

import posixpath
from pathlib import Path

from ...errors import ConfigError
from ..data_file import NEAR_LABELS, YAML, DataFile, holds_names, read_data_file
from ..document import Source
from ..listing import SUFFIXES, Listing, folders_of, stem_of
from ..shapes import Broken, read_text
from ..splits import split_of_folder
from ..yolo import Yolo, all_turned
from .plan import Plan

_DEPTH = 2  # folders above a file with class names, at most


def look(listing: Listing) -> Plan | None:
    """Find YOLO labels.

    Raises:
        ConfigError: The data file is wrong, or names what is not there.
    """
    path = _find_data_file(listing)
    if path is None:
        return None
    data = read_data_file(path)
    if data.splits and path.parent != listing.folder:
        listing = Listing(path.parent)  # which its paths are below
    root, notes = _root(data, listing)
    listed = bool(data.splits)
    images: dict[str, list[str]] = {}
    for split in data.splits:
        images[split] = _named_images(data, split, root)
    if not listed:
        for name in root.images():
            split = split_of_folder(posixpath.dirname(name)) or 'train'
            images.setdefault(split, []).append(name)
    labels = {
        split: {name: _label(name, root) for name in names}
        for split, names in images.items()
    }
    paths = [
        root.folder / label
        for found in labels.values()
        for label in found.values()
        if label
    ]
    if not paths:
        return None
    sources = {}
    for split, found in labels.items():
        kept, told = _with_labels(split, found, root, listed)
        notes += told
        if kept:
            sources[split] = kept
    return Plan(
        layout='YOLO',
        found=path.name,
        root=root,
        reader=Yolo(data.classes, data.key_points, data.turned or all_turned(paths)),
        classes=data.classes,
        sources=sources,
        extra=(path,),
        notes=(*notes, *_orphans(labels, root)),
    )


def _find_data_file(listing: Listing) -> Path | None:
    """Return the file with the class names: at the top, or else nearer the labels."""
    top = [name for name in listing.names if '/' not in name]
    described = [
        name
        for name in top
        if name.endswith(YAML) and holds_names(listing.folder / name)
    ]
    if len(described) > 1 and 'data.yaml' not in described:
        raise ConfigError(
            f'{listing.folder} holds {" and ".join(described)}, each with class '
            '`names`; keep one.'
        )
    names = ['data.yaml', *described] if described else []
    names = [name for name in (*names, 'obj.data') if name in top] or _below(listing)
    paths = [listing.folder / name for name in names]
    if len(paths) > 1 and not described:
        first, *others = (read_data_file(path).classes for path in paths)
        for path, classes in zip(paths[1:], others, strict=True):
            if classes != first:
                raise ConfigError(
                    f'{paths[0]} and {path} name other classes; write the same into '
                    'both.'
                )
    return paths[0] if paths else None


def _below(listing: Listing) -> list[str]:
    """Return the data file in a folder, or else all files with class names in folders.

    Raises:
        ConfigError: There are several data files.
    """
    found = [
        name
        for wanted in NEAR_LABELS
        for name in listing.names
        if posixpath.basename(name) == wanted and name.count('/') <= _DEPTH
    ]
    described = [
        name
        for name in found
        if name.endswith(YAML) and holds_names(listing.folder / name)
    ]
    if len(described) > 1:
        raise ConfigError(
            f'{listing.folder} holds {" and ".join(described)}; name the folder of one.'
        )
    return described or [name for name in found if not name.endswith(YAML)]


def _root(data: DataFile, listing: Listing) -> tuple[Listing, list[str]]:
    """Return the folder that the paths of a data file are below, and what to tell."""
    if data.root is None:
        return listing, []
    root = listing.folder / data.root.replace('\\', '/')
    if not root.is_dir():
        return listing, [
            f'{data.path.name} names the folder {data.root}, which is not here; its '
            f'own folder is used.'
        ]
    if root.resolve() == listing.folder.resolve():
        return listing, []
    return Listing(root.resolve()), [
        f'{data.path.name} names another folder, {root.resolve()}; it is used.'
    ]


def _named_images(data: DataFile, split: str, root: Listing) -> list[str]:
    """Return the images that a data file names for a split."""
    images: dict[str, None] = {}
    for entry in data.splits[split]:
        place = _resolve(entry, split, root)
        if place is None:
            raise ConfigError(
                f'{data.path} names {entry} as {split} images, which is not in '
                f'{root.folder}; correct it.'
            )
        if place in root.names and not place.lower().endswith(SUFFIXES):
            images |= dict.fromkeys(_listed_images(place, split, root))
        else:
            images |= dict.fromkeys(
                name
                for name in root.images()
                if place == '.' or name == place or name.startswith(f'{place}/')
            )
    if not images:
        raise ConfigError(
            f'{data.path} names {", ".join(data.splits[split])} as {split} images, '
            'but no image is there; correct it.'
        )
    return list(images)


def _listed_images(name: str, split: str, root: Listing) -> list[str]:
    """Return the images in a list of paths."""
    path = root.folder / name
    try:
        lines = read_text(path).splitlines()
    except Broken as error:
        raise ConfigError(f'{path} {error}; save it again.') from error
    images = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        image = _resolve(line.strip(), split, root)
        if image is None:
            raise ConfigError(
                f'{path}, line {number}: the image {line.strip()} is not in '
                f'{root.folder}; correct the list.'
            )
        images.append(image)
    return images


def _resolve(written: str, split: str, root: Listing) -> str | None:
    """Return what a path means below the folder, be it written for another place.

    Roboflow writes `../train/images`, CVAT puts `data/` in front, and scripts write
    paths of the machine they ran on. What is left of the path is the longest end of it
    that is there, so that nothing outside is ever opened.
    """
    parts = [part for part in written.replace('\\', '/').split('/') if part != '.']
    for start in range(len(parts)):
        end = [part for part in parts[start:] if part]
        place = '/'.join(end) or '.'
        if '..' in end:
            continue
        if place in root.names:
            return place
        # `images` alone could be anyone's, were it not written so.
        own = start == 0 or len(end) > 1 or split_of_folder(place) == split
        if own and (place == '.' or place in root.places):
            return place
    return None if parts else '.'


def _label(image: str, root: Listing) -> str | None:
    """Return the label file of an image: in `labels` for `images`, or beside it."""
    stem = stem_of(image)
    parts = stem.split('/')
    candidates = [f'{stem}.txt']
    if 'images' in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index('images')
        candidates.insert(
            0, '/'.join([*parts[:last], 'labels', *parts[last + 1 :]]) + '.txt'
        )
    return next((name for name in candidates if name in root.names), None)


def _with_labels(
    split: str, labels: dict[str, str | None], root: Listing, listed: bool
) -> tuple[list[Source], list[str]]:
    """Return the images of a split to read, and what to tell of the others.

    Args:
        labels: The label file of each image.
        listed: Whether a data file lists the images: one without labels has no objects
            then. Without a list, work on it may only go on.

    Raises:
        ConfigError: A list for training or validation holds no image with labels.
    """
    bare = [name for name, label in labels.items() if label is None]
    if len(bare) == len(labels):
        if listed and split != 'test':
            raise ConfigError(
                f'{root.folder} has no labels for its {len(bare)} {split} images, e.g. '
                f'for {bare[0]}; put them beside, or into labels for those in images.'
            )
        return [], [f'{split}: none of its {len(bare)} images has labels; left out.']
    sources = [
        Source(root.folder / label if label else None, image=name)
        for name, label in labels.items()
        if label or listed
    ]
    if not bare:
        return sources, []
    what = 'taken as images without objects' if listed else 'left out'
    return sources, [
        f'{split}: {len(bare)} images have no label file, e.g. {bare[0]}; {what}.'
    ]


def _orphans(labels: dict[str, dict[str, str | None]], root: Listing) -> list[str]:
    """Tell of label files beside others that belong to no image."""
    used = {label for found in labels.values() for label in found.values() if label}
    places = set(folders_of(used))
    alone = [
        name
        for name in root.ending('.txt')
        if name not in used
        and posixpath.dirname(name) in places
        and posixpath.basename(name) not in NEAR_LABELS
    ]
    if not alone:
        return []
    return [f'{len(alone)} label files belong to no image, e.g. {alone[0]}; left out.']
