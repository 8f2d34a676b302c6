"""Finds VOC and labelme: one annotation file an image, beside it or not."""

import json
import re
from pathlib import Path, PurePosixPath

from ...errors import ConfigError
from ..document import Reader, Source
from ..labelme import Labelme
from ..listing import Listing, folders_of, join, stem_of
from ..shapes import Broken, read_text
from ..splits import split_named
from ..voc import Voc
from .plan import Plan

_SNIFFED = 5  # files of a folder that tell what all of it is


def look_for_voc(listing: Listing) -> Plan | None:
    """Find Pascal VOC: XML files, and lists of the splits in `ImageSets`."""
    return _look(listing, 'VOC', Voc())


def look_for_labelme(listing: Listing) -> Plan | None:
    """Find labelme: JSON files with shapes."""
    return _look(listing, 'labelme', Labelme())


def is_of_one_image(path: Path) -> bool:
    """Whether a file looks like labelme's JSON or VOC's XML."""
    try:
        if path.suffix.lower() == '.json':
            content = json.loads(read_text(path))
            return isinstance(content, dict) and 'shapes' in content
        return re.search(rb'<annotation[\s>]', path.read_bytes()) is not None
    except (Broken, OSError, ValueError, RecursionError):
        return False


def _look(listing: Listing, layout: str, reader: Reader) -> Plan | None:
    folders = {
        place: names
        for place, names in folders_of(listing.ending(reader.suffix)).items()
        if any(is_of_one_image(listing.folder / name) for name in names[:_SNIFFED])
    }
    if not folders:
        return None
    names = [name for found in folders.values() for name in found]
    splits, notes = {}, []
    if layout == 'VOC':
        splits, notes = _listed(listing, names)
    images = {stem_of(name) for name in listing.images()}
    sources: dict[str, list[Source]] = {}
    for place, inside in folders.items():
        stems = [PurePosixPath(name).stem for name in inside]

        def fit(where: str, stems: list[str] = stems) -> int:
            return sum(join(where, stem) in images for stem in stems)

        split = split_named(place)
        beside = place if fit(place) else listing.best_folder(fit, split) or place
        if beside != place:
            notes.append(f'The images of {place} are in {beside}.')
        for name in inside:
            where = PurePosixPath(beside) / PurePosixPath(name).name
            source = Source(listing.folder / name, beside=where)
            for part in splits.get(name, ()) if splits else [split or 'train']:
                sources.setdefault(part, []).append(source)
    return Plan(
        layout=layout,
        found=f'{len(names)} {reader.suffix} files',
        root=listing,
        reader=reader,
        classes=None,
        sources=sources,
        notes=tuple(notes),
    )


def _listed(
    listing: Listing, names: list[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the splits of each annotation file by `ImageSets`, and what to tell.

    Raises:
        ConfigError: A list names what has no annotation file.
    """
    lists = {
        PurePosixPath(name).stem: name
        for name in listing.ending('.txt')
        if 'ImageSets' in PurePosixPath(name).parts
    }
    if 'train' not in lists and 'trainval' in lists:
        lists['train'] = lists['trainval']
    by_end: dict[str, str] = {}
    for name in names:
        parts = stem_of(name).split('/')
        by_end |= {'/'.join(parts[start:]): name for start in range(len(parts))}
    splits: dict[str, list[str]] = {}
    notes = []
    for word, path in lists.items():
        split = split_named(word)
        if split is None or not word.isalpha() or word == 'trainval':
            continue
        try:
            lines = read_text(listing.folder / path).split('\n')
        except Broken as error:
            raise ConfigError(f'{listing.folder / path} {error}.') from error
        stems = [line.strip() for line in lines if line.strip()]
        missing = [stem for stem in stems if stem not in by_end]
        if missing and split == 'test' and len(missing) == len(stems):
            notes.append(
                f'test: none of its {len(stems)} images is annotated; left out.'
            )
            continue
        if missing:
            raise ConfigError(
                f'{listing.folder / path} names {missing[0]}, which has no .xml file; '
                'add it, or remove the line.'
            )
        for stem in stems:
            splits.setdefault(by_end[stem], []).append(split)
    if splits and (unlisted := len(names) - len(splits)):
        notes.append(f'{unlisted} .xml files are in no list of ImageSets; left out.')
    return splits, notes
