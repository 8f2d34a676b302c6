"""What lies in a folder, listed once; only files of the list are ever opened."""

import os
import posixpath
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from .splits import split_of_folder

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


class Listing:
    """The files below a folder.

    Hidden ones, and what macOS leaves in an archive, are no part of it. Links to
    folders are followed, but not in a circle.

    Args:
        without: Files to leave out.

    Attributes:
        folder: The folder.
        names: Paths below it, with forward slashes, sorted.
        places: The folders that hold a file, however deep, upper ones first.
    """

    def __init__(self, folder: Path, without: Iterable[Path] = ()) -> None:
        self.folder = folder
        names: list[str] = []
        places = {'.'}
        left_out = {os.path.realpath(path): path.name for path in without}

        def is_left_out(place: str, name: str) -> bool:
            path = os.path.join(place, name)
            return name in left_out.values() and os.path.realpath(path) in left_out

        above = {}  # where each folder and those above it really are
        for place, folders, files in os.walk(folder, followlinks=True):
            around = above.get(os.path.dirname(place), set())
            real = os.path.realpath(place)
            if real in around:
                folders.clear()
                continue
            above[place] = {*around, real}
            folders[:] = [name for name in folders if _is_shown(name)]
            below = PurePosixPath(Path(place).relative_to(folder).as_posix())
            found = [
                join(str(below), name)
                for name in files
                if _is_shown(name) and not is_left_out(place, name)
            ]
            names += found
            if found:
                places |= {str(below), *map(str, below.parents)}
        self.names = dict.fromkeys(sorted(names))
        ordered = sorted(places, key=lambda place: (place.count('/'), place))
        self.places = dict.fromkeys(ordered)

    def ending(self, *suffixes: str) -> list[str]:
        """Return the files with one of these suffixes, in any case."""
        return [name for name in self.names if name.lower().endswith(suffixes)]

    def images(self) -> list[str]:
        """Return the images."""
        return self.ending(*SUFFIXES)

    def best_folder(self, fit: Callable[[str], int], split: str | None) -> str | None:
        """Return the folder that fits best; of equal ones, that named for the split.

        Args:
            fit: How well a folder fits; 0: not at all.
        """

        def rank(place: str) -> tuple[int, int]:
            named = split_of_folder(place)
            return fit(place), (named == split) - (named not in (split, None))

        best = max(self.places, key=rank, default=None)
        return best if best is not None and fit(best) else None


def join(place: str, name: str) -> str:
    """Join a folder of a listing and a path below it."""
    return posixpath.normpath(f'{place}/{name}')


def called(place: str) -> str:
    """Return what to call a folder of a listing."""
    return 'the folder itself' if place == '.' else place


def stem_of(name: str) -> str:
    """Return a path without its suffix."""
    return posixpath.splitext(name)[0]


def folders_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names by the folder they lie in."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(posixpath.dirname(name) or '.', []).append(name)
    return found


def _is_shown(name: str) -> bool:
    return not name.startswith('.') and name != '__MACOSX'
