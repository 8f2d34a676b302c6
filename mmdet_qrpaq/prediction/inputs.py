"""Which images and videos the words of a command mean, and what they are called."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..annotations import Annotations, read_annotations
from ..annotations.classes import shorten
from ..annotations.images import is_other_size
from ..errors import ConfigError
from ..formats.images import image_header
from ..formats.listing import SUFFIXES, Listing
from ..formats.shapes import Broken

# What OpenCV writes in colour; others are drawn as PNG.
_DRAWN = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
IMAGES = (*SUFFIXES, '.gif')
VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv')


@dataclass(frozen=True)
class Input:
    """An image or a video.

    Attributes:
        path: Where it is.
        name: Its path below the folder that all inputs share, with forward slashes.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether it is one, by its suffix."""
        return self.name.lower().endswith(VIDEOS)

    @property
    def drawn(self) -> str:
        """Its name when it is drawn, in a format that can be written."""
        fits = self.name.lower().endswith(('.mp4',) if self.is_video else _DRAWN)
        return self.name + ('' if fits else '.mp4' if self.is_video else '.png')


def find_inputs(words: Iterable[str]) -> tuple[list[Input], int]:
    """Return what words mean, each file once, and how many files of folders do not fit.

    A file that is named is taken, whatever its suffix; of a folder all that have the
    suffix of an image or a video, however deep.

    Raises:
        ConfigError: There is no such file, nothing in a folder, or two would be drawn
            into one file.
    """
    found: dict[str, None] = {}
    above, skipped = [], 0
    for word in words:
        path = os.path.abspath(word)
        if os.path.isdir(path):
            listing = Listing(Path(path))
            fitting = listing.ending(*IMAGES, *VIDEOS)
            if not fitting:
                raise ConfigError(
                    f'{word} holds no image and no video ({", ".join(IMAGES)}, '
                    f'{", ".join(VIDEOS)}); give another folder.'
                )
            skipped += len(listing.names) - len(fitting)
            found |= dict.fromkeys(os.path.join(path, name) for name in fitting)
            above.append(path)
        elif os.path.isfile(path):
            found[path] = None
            above.append(os.path.dirname(path))
        else:
            raise ConfigError(
                f'{word} does not exist; give images, videos or folders of them.'
            )
    shared = os.path.commonpath(above)
    inputs = [Input(Path(p), Path(p).relative_to(shared).as_posix()) for p in found]
    drawn: dict[str, Input] = {}
    for one in inputs:
        if (other := drawn.setdefault(one.drawn, one)) is not one:
            raise ConfigError(
                f'{other.path} and {one.path} would both be drawn as {one.drawn}; '
                'rename one, or leave it out.'
            )
    return inputs, skipped


@dataclass(frozen=True)
class Ids:
    """What images and classes are called in COCO files.

    Attributes:
        images: By place among the inputs; `None`: counted from 1 on.
        categories: By label.
    """

    categories: list[Any]
    images: list[Any] | None = None


def ids_of(
    inputs: Sequence[Input], classes: Sequence[str], ann_file: str | None
) -> tuple[list[Input], Ids]:
    """Return the ids of an annotation file, and the inputs in its order.

    An image is the one of the file whose name its path ends with; it must be listed
    once, and in its size, if in any. Without a file categories are counted from 1.

    Raises:
        ConfigError: The file lacks an image or a class, lists an image twice or in
            another size, or there is a video.
    """
    if ann_file is None:
        return list(inputs), Ids(list(range(1, len(classes) + 1)))
    listed = read_annotations(ann_file)
    rows = _rows_of(inputs, listed)
    ordered = sorted(rows)
    names = list(listed.names)
    if absent := [name for name in classes if names.count(name) != 1]:
        raise ConfigError(
            f'--ann-file {ann_file}: {shorten(absent)} of the model should be one of '
            f'its categories ({shorten(listed.names)}); give a file with these classes.'
        )
    categories = [listed.categories['id'][names.index(name)] for name in classes]
    images = [listed.images['id'][row] for row in ordered]
    return [rows[row] for row in ordered], Ids(categories, images)


def _rows_of(inputs: Sequence[Input], listed: Annotations) -> dict[int, Input]:
    """Return the inputs by their rows in the table of images."""
    place = f'--ann-file {listed.path}'
    names = [*map(str, listed.images['file_name'])]
    by_name = {name: row for row, name in enumerate(names)}
    counts = Counter(names)
    rows: dict[int, Input] = {}
    for one in inputs:
        if one.is_video:
            raise ConfigError(f'{place} is of images, and {one.path} is a video.')
        parts = one.path.parts
        ends = ('/'.join(parts[start:]) for start in range(1, len(parts)))
        row = next((by_name[end] for end in ends if end in by_name), None)
        if row is None:
            raise ConfigError(f'{place} lists no {one.path}; give images of that file.')
        if counts[names[row]] > 1:
            raise ConfigError(
                f'{place} lists {names[row]} {counts[names[row]]} times, so that '
                f'nothing tells which is {one.path}; leave the others out of the file.'
            )
        _require_size(one, listed.sizes[row].tolist(), place)
        if row in rows:
            raise ConfigError(
                f'{place} lists one {names[row]}, and that is both {rows[row].path} '
                f'and {one.path}; leave one out.'
            )
        rows[row] = one
    return rows


def _require_size(one: Input, written: list[float], place: str) -> None:
    """Refuse an image that is another one by its size, turned by its tag or not."""
    try:
        header = image_header(one.path)
    except Broken:
        return  # told when it is read
    width, height = header.size
    fitting = [header] + [header._replace(size=(height, width))] * header.turned
    if all(is_other_size(tuple(written), fit) for fit in fitting):
        raise ConfigError(
            f'{place} lists an image of {written[0]:g} x {written[1]:g} pixels by the '
            f'name of {one.path}, which has {width} x {height}; give the file of these '
            'images.'
        )
