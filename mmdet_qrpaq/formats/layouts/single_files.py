"""Finds VOC and labelme: one annotation file an image, beside it or not."""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ...errors import ConfigError
from ..document import Reader, Source
from ..labelme import Labelme
from ..listing import Listing, called, folders_of, join, stem_of
from ..shapes import Broken, decode_json, read_text
from ..splits import split_named, split_of_folder
from ..voc import Voc
from .plan import Plan

_SNIFFED = 5  # files of a folder that tell what all of it is


def look_for_voc(listing: Listing) -> Plan | None:
    """Find Pascal VOC: XML files, and lists of the splits in `ImageSets`."""
    return _look(listing, 'VOC', Voc())


def look_for_labelme(listing: Listing) -> Plan | None:
    """Find labelme: JSON files with shapes."""
    return _look(listing, 'labelme', Labelme())


class _Shapes(msgspec.Struct):
    shapes: Any


def _is_of_one_image(path: Path) -> bool:
    """Whether a file looks like labelme's JSON or VOC's XML."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() != '.json':
            return re.search(rb'<annotation[\s>]', content) is not None
        decode_json(content.removeprefix(BOM_UTF8), _Shapes)
    except (OSError, msgspec.ValidationError, ValueError, RecursionError):
        return False
    return True


def _look(listing: Listing, layout: str, reader: Reader) -> Plan | None:
    folders = {
        place: names
        for place, names in folders_of(listing.ending(reader.suffix)).items()
        if any(_is_of_one_image(listing.folder / name) for name in names[:_SNIFFED])
    }
    if not folders:
        return None
    images = {stem_of(name) for name in listing.images()}
    sources: dict[str, Source] = {}
    splits: dict[str, list[Source]] = {}
    notes = []
    for place, names in folders.items():
        stems = [PurePosixPath(name).stem for name in names]

        def fit(where: str, stems: list[str] = stems) -> int:
            return sum(join(where, stem) in images for stem in stems)

        split = split_of_folder(place)
        beside = place if fit(place) else listing.best_folder(fit, split) or place
        if beside != place:
            notes.append(f'The images of {called(place)} are in {called(beside)}.')
        for name in names:
            where = PurePosixPath(beside) / PurePosixPath(name).name
            sources[name] = Source(listing.folder / name, beside=where)
            splits.setdefault(split or 'train', []).append(sources[name])
    lists = _split_lists(listing) if layout == 'VOC' else {}
    if lists:
        splits, told = _listed(listing, lists, sources)
        notes += told
    return Plan(
        layout=layout,
        found=f'{len(sources)} {reader.suffix} files',
        root=listing,
        reader=reader,
        classes=None,
        sources=splits,
        notes=tuple(notes),
    )


def _split_lists(listing: Listing) -> dict[str, str]:
    """Return the list of images of each split in VOC's `ImageSets`."""
    lists = {
        PurePosixPath(name).stem: name
        for name in listing.ending('.txt')
        if 'ImageSets' in PurePosixPath(name).parts
    }
    # One list may stand for train: VOC's own, and that of tools that know no splits.
    for other in ('trainval', 'default'):
        if other in lists:
            lists.setdefault('train', lists[other])
    # `dog_train.txt` says which images hold a dog.
    return {
        split_named(word): name
        for word, name in lists.items()
        if word.isalpha() and split_named(word)
    }


def _listed(
    listing: Listing, lists: dict[str, str], sources: dict[str, Source]
) -> tuple[dict[str, list[Source]], list[str]]:
    """Return what the lists name, and what to tell.

    A listed image without an annotation file has no objects: some tools write none.

    Raises:
        ConfigError: A list names what is not there.
    """
    files, images = _by_end(sources), _by_end(listing.images())
    splits: dict[str, list[Source]] = {}
    notes = []
    for split, path in lists.items():
        try:
            lines = read_text(listing.folder / path).splitlines()
        except Broken as error:
            raise ConfigError(f'{listing.folder / path} {error}.') from error
        # Some write them in quotes, and with an ending.
        words = [word for line in lines if (word := line.strip().strip('"\''))]
        stems = [w if w in files or w in images else stem_of(w) for w in words]
        bare = [stem for stem in stems if stem not in files]
        if split == 'test' and len(bare) == len(stems):
            notes.append(
                f'test: none of its {len(bare)} images is annotated; left out.'
            )
            continue
        for stem in bare:
            if stem not in images:
                raise ConfigError(
                    f'{listing.folder / path} names {stem}, of which there is neither '
                    'an image nor an .xml file; correct the list.'
                )
        splits[split] = [
            sources[files[stem]] if stem in files else Source(None, images[stem])
            for stem in stems
        ]
        if bare:
            notes.append(
                f'{split}: {len(bare)} images have no .xml file, e.g. '
                f'{images[bare[0]]}; taken as images without objects.'
            )
    taken = {source.path for found in splits.values() for source in found}
    if left_out := sum(source.path not in taken for source in sources.values()):
        notes.append(f'{left_out} .xml files are in no list of ImageSets; left out.')
    return splits, notes


def _by_end(names: Iterable[str]) -> dict[str, str]:
    """Return the names by every end of their path, without suffix."""
    ends = {}
    for name in names:
        parts = stem_of(name).split('/')
        ends |= {'/'.join(parts[start:]): name for start in range(len(parts))}
    return ends
