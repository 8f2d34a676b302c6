"""Writes COCO files of a data set: the same classes, a val split, a digest."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ..errors import ConfigError
from ..version import __version__
from .document import write
from .shapes import decode_json
from .splits import SPLITS, choose_val


def unite(documents: dict[str, dict], classes: Sequence[str]) -> None:
    """Give the classes the same ids, from 1, in all documents.

    Args:
        documents: COCO, by split; changed in place.
        classes: Names in the order of their ids.

    Raises:
        ConfigError: An object has a class that is not in its own document.
    """
    ids = {name: index for index, name in enumerate(classes, 1)}
    for split, document in documents.items():
        names = {repr(e.get('id')): e['name'] for e in document['categories']}
        for entry in document['annotations']:
            written = entry.get('category_id')
            name = names.get(repr(written))
            if name is None:
                raise ConfigError(
                    f'{split}: annotation {entry.get("id")} has the category_id '
                    f'{written!r}, which is none of its categories; correct it.'
                )
            entry['category_id'] = ids[name]
        document['categories'] = [dict(id=i, name=name) for name, i in ids.items()]


def divide(documents: dict[str, dict], folder: Path) -> str:
    """Move a fifth of the train images into a val split; return what to tell.

    Raises:
        ConfigError: There is but one image.
    """
    train = documents['train']
    total = len(train['images'])
    val = choose_val(image['file_name'] for image in train['images'])
    if not val:
        raise ConfigError(
            f'{folder} has no val split, and its {total} train images cannot be '
            'divided; add images.'
        )
    moved = {repr(e.get('id')) for e in train['images'] if e['file_name'] in val}

    def part(chosen: bool) -> dict:
        def kept(key: str, image: str) -> list[dict]:
            return [e for e in train[key] if (repr(e.get(image)) in moved) == chosen]

        images, annotations = kept('images', 'id'), kept('annotations', 'image_id')
        return train | dict(images=images, annotations=annotations)

    documents |= dict(train=part(False), val=part(True))
    return (
        f'There is no val split: {len(moved)} of {total} train images, by a hash of '
        'their names, are val instead.'
    )


def digest_of(decisive: Iterable[Path | str], *options: object) -> str:
    """Return a digest of names, sizes and times of files, and of how they are read."""
    content = hashlib.sha256(repr((__version__, options)).encode())
    for entry in decisive:
        stat = entry.stat() if isinstance(entry, Path) else None
        facts = (stat.st_size, stat.st_mtime_ns) if stat else ()
        content.update(repr((str(entry), *facts)).encode())
    return content.hexdigest()


def write_copies(
    converted: Path,
    documents: dict[str, dict],
    folder: Path,
    digest: str,
    notes: Sequence[str],
) -> None:
    """Write `instances_{split}.json`, each with what it was made from.

    Args:
        folder: The data set.

    Raises:
        ConfigError: One cannot be written.
    """
    info = dict(
        description=f'Written by mmdet_qrpaq {__version__}; do not edit.',
        version=__version__,
        folder=_identity(folder),
        digest=digest,
        notes=list(notes),
    )
    for split, document in documents.items():
        licenses = document.get('licenses', [])
        out = dict(info=info, licenses=licenses)
        out |= {key: document[key] for key in ('images', 'annotations', 'categories')}
        write(ann_file(converted, split), out)


class _Info(msgspec.Struct):
    folder: str
    digest: str
    notes: list[str]


class Copy(msgspec.Struct):
    """What a copy tells of itself."""

    info: _Info
    categories: list[dict]


def copies_in(converted: Path) -> dict[Path, Copy | None]:
    """Return the copies that are there; `None`: a file of that name that is none."""
    found: dict[Path, Copy | None] = {}
    for path in (ann_file(converted, split) for split in SPLITS):
        if os.path.exists(path):  # which raises nothing
            try:
                found[path] = decode_json(path.read_bytes(), Copy)
            except (OSError, msgspec.ValidationError, ValueError, RecursionError):
                found[path] = None
    return found


def written_before(
    copies: dict[Path, Copy | None], paths: Sequence[Path], folder: Path, digest: str
) -> tuple[tuple[str, ...], list[str]] | None:
    """Return classes and notes of copies that are still right, or `None`.

    Args:
        copies: What is there.
        paths: What is needed; it is written anew otherwise.
        folder: The data set.

    Raises:
        ConfigError: That would replace a file that was not made from this folder.
    """
    for path in paths:
        copy = copies.get(path)
        if path in copies and (copy is None or copy.info.folder != _identity(folder)):
            other = f', but from {copy.info.folder}' if copy else ''
            raise ConfigError(
                f'{path} was not written from {folder}{other}, and is not replaced; '
                'choose another --out or --work-dir.'
            )
    if not all(path in copies and copies[path].info.digest == digest for path in paths):
        return None
    copy = copies[paths[-1]]
    return tuple(category['name'] for category in copy.categories), copy.info.notes


def _identity(folder: Path) -> str:
    return str(folder.resolve())


def ann_file(converted: Path, split: str) -> Path:
    """Return where the copy of a split is."""
    return converted / f'instances_{split}.json'
