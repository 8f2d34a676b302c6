"""What lies in a folder, listed once; only files of the list are ever opened."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from .splits import split_named

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


class Listing:
    """The files below a folder.

    Hidden ones, and what macOS leaves in an archive, are no part of it. Links to
    folders are followed once.

    Attributes:
        folder: The folder.
        names: Paths below it, with forward slashes, sorted.
        places: The folders that hold a file, however deep, upper ones first.
    """

    def __init__(self, folder: Path, without: Path | None = None) -> None:
        self.folder = folder
        visited = {os.path.realpath(without)} if without else set()
        found = []
        for place, folders, files in os.walk(folder, followlinks=True):
            real = os.path.realpath(place)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = [name for name in folders if _is_shown(name)]
            below = PurePosixPath(Path(place).relative_to(folder).as_posix())
            found += [str(below / name) for name in files if _is_shown(name)]
        self.names = dict.fromkeys(sorted(found))
        places = {str(p) for name in found for p in PurePosixPath(name).parents}
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
            named = split_named(place)
            return fit(place), (named == split) - (named not in (split, None))

        best = max(self.places, key=rank, default=None)
        return best if best is not None and fit(best) else None


def join(place: str, name: str) -> str:
    """Join a folder of a listing and a path below it."""
    return str(PurePosixPath(place) / name)


def stem_of(name: str) -> str:
    """Return a path without its suffix."""
    return str(PurePosixPath(name).with_suffix(''))


def folders_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names by the folder they lie in."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(str(PurePosixPath(name).parent), []).append(name)
    return found


def _is_shown(name: str) -> bool:
    return not name.startswith('.') and name != '__MACOSX'
