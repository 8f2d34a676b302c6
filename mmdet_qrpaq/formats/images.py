"""Finds the image that an annotation file means, and its size.

Only names found by listing the folder are ever opened, so that no annotation file can
lead anywhere else.
"""

import struct
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from .listing import Listing, stem_of
from .shapes import Broken

# What Pillow raises; the second is for a damaged PNG.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_ORIENTATION = 0x0112  # EXIF tag; from 5 on, the image lies on its side


class Header(NamedTuple):
    """What an image file says of itself.

    Attributes:
        size: Width and height in pixels as the image is shown and trained on.
        mode: Pillow's name of its pixels: `'RGB'`, `'L'`, `'I;16'`, `'F'`, ...
        turned: Whether it lies on its side in the file.
    """

    size: tuple[int, int]
    mode: str
    turned: bool


def image_header(path: Path) -> Header:
    """Read the header of an image, and nothing else of it.

    mmdet turns an image as its EXIF tag says, and so do annotation tools.

    Raises:
        Broken: It is not an image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = _lies_on_its_side(image)
            return Header(
                (height, width) if turned else (width, height), image.mode, turned
            )
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: Exception) -> Broken:
    """Say in one sentence, with the path once, that an image cannot be read."""
    # Pillow names the file, too.
    is_unknown = isinstance(error, UnidentifiedImageError)
    reason = 'it is in no known image format' if is_unknown else error
    return Broken('unreadable image', f'the image {path} cannot be read ({reason})')


def _lies_on_its_side(image: Image.Image) -> bool:
    """Tell by the EXIF tag; a damaged one says nothing."""
    try:
        # Asking for EXIF that is not in the header would decode a PNG.
        exif = image.getexif() if 'exif' in image.info else {}
        return exif.get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, struct.error):
        return False


class ImageFolder:
    """The images below a folder.

    Attributes:
        names: Their paths below it, with forward slashes.
    """

    def __init__(self, listing: Listing) -> None:
        self.folder = listing.folder
        self.names = dict.fromkeys(listing.images())
        self._by_stem: dict[str, list[str]] = {}
        for name in self.names:
            self._by_stem.setdefault(stem_of(name), []).append(name)

    def find(self, written: str | None, annotation: PurePosixPath) -> tuple[str, bool]:
        """Return the name of an image, and whether two images were meant.

        The one named like the annotation file comes first: files are renamed in bulk,
        and the name inside stays behind. Otherwise it is the one named inside. Both are
        looked for in the sub-folder the annotation file is in, then in the folder.

        Args:
            written: The name in the annotation file, with or without a suffix;
                `None` if it has none.
            annotation: The annotation file below its folder.

        Raises:
            Broken: There is none, more than one, or the name leads elsewhere.
        """
        own = self._look_up(annotation.parent, annotation.stem)
        # Read as Windows would: it takes slashes of both kinds.
        path = PureWindowsPath(written or '')
        is_below = not path.anchor and '..' not in path.parts
        named = []
        if written and is_below:
            named = self._look_up(annotation.parent, path.as_posix())
        both = [name for name in own if name in named]
        found = both or own or named
        if len(found) > 1:
            raise Broken(
                'ambiguous image',
                f'{" and ".join(found)} in {self.folder} both have its name',
            )
        if not found and not is_below:
            raise Broken(
                'image outside the folder',
                f'the image {written} does not lie in {self.folder}; only a name '
                'below it is allowed',
            )
        if not found:
            wanted = f'{annotation.stem}.jpg (or .png, ...)'
            raise Broken(
                'missing image',
                f'the image {written or wanted} is not in {self.folder}',
            )
        return found[0], bool(own and named and not both)

    def _look_up(self, parent: PurePosixPath, name: str) -> list[str]:
        for candidate in dict.fromkeys([(parent / name).as_posix(), name]):
            if candidate in self.names:
                return [candidate]
            if candidate in self._by_stem:
                return self._by_stem[candidate]
        return []

    def size(self, name: str) -> tuple[int, int]:
        """Return width and height in pixels as the image is shown and trained on.

        Raises:
            Broken: It is not an image.
        """
        return image_header(self.folder / name).size
