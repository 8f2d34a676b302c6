"""Opens every image that a run would read."""

import hashlib
import io
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from ..annotations.images import is_other_size, other_sizes, unreadable_images
from ..errors import ConfigError
from ..finding import Finding
from ..formats.images import UNREADABLE, Header, image_header, unreadable
from ..formats.shapes import Broken
from ..images import decode_image

_HASH_SIDE = 8


@dataclass(frozen=True)
class Listed:
    """An image as an annotation file lists it.

    Attributes:
        split: `'train'`, `'val'` or `'test'`.
        path: Where it is.
        ann_file: What lists it.
        size: Width and height there, pixels; NaN where there is none.
    """

    split: str
    path: str
    ann_file: str
    size: tuple[float, float]


@dataclass(frozen=True)
class Look:
    """What was seen of an image.

    Attributes:
        image: Which.
        problem: Why it cannot be read, or empty.
        header: What the file says of itself; `None` if it cannot be read.
        content: Digest of the file.
        pattern: Difference hash: where brightness rises from left to right, 64 bits.
    """

    image: Listed
    problem: str = ''
    header: Header | None = None
    content: bytes = b''
    pattern: int = 0


def look_at_images(listed: Sequence[Listed]) -> list[Look]:
    """Open images, some at a time; a bar on the error stream shows how far it is."""
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Pillow's, of odd metadata
        looks = pool.map(_look, listed)
        console = Console(stderr=True)
        return list(track(looks, 'Images', total=len(listed), console=console))


def broken_images(looks: Iterable[Look]) -> list[Finding]:
    """Find images that cannot be read, or are of another size than their file says."""
    broken, differing = defaultdict(list), defaultdict(list)
    for look in looks:
        image = look.image
        if look.header is None:
            broken[image.ann_file].append(look.problem)
        elif is_other_size(image.size, look.header):
            differing[image.ann_file].append((image.path, image.size, look.header))
    return [
        *(f for path, told in broken.items() for f in unreadable_images(path, told)),
        *(f for path, told in differing.items() for f in other_sizes(path, told)),
    ]


def thumbnail(path: str, side: int) -> np.ndarray:
    """Return an image as grey means of `side` x `side` cells, 0 to 255."""
    return np.asarray(_grey(Path(path).read_bytes(), path, (side, side)), np.float32)


def _look(image: Listed) -> Look:
    try:
        header = image_header(image.path)
        with open(image.path, 'rb') as file:
            content = file.read()
        pattern = _difference_hash(content, image.path)
    except (Broken, ConfigError) as error:
        return Look(image, problem=str(error).rstrip('.'))
    except UNREADABLE as error:
        return Look(image, problem=str(unreadable(image.path, error)))
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return Look(image, '', header, digest, pattern)


def _difference_hash(content: bytes, path: str) -> int:
    shape = (_HASH_SIDE + 1, _HASH_SIDE)
    draft = (8 * _HASH_SIDE, 8 * _HASH_SIDE)
    grey = np.asarray(_grey(content, path, shape, draft), np.int16)
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes(), 'big')


def _grey(
    content: bytes,
    path: str,
    shape: tuple[int, int],
    draft: tuple[int, int] | None = None,
) -> Image.Image:
    """Return an image in means of grey cells; of a JPEG compute no more than `draft`.

    What has more than eight bits is of the brightness that training sees; Pillow alone
    would make most of it white.
    """
    with Image.open(io.BytesIO(content)) as opened:
        image = opened
        if draft:
            opened.draft('L', draft)
        if opened.mode.startswith(('I', 'F')) or ';16' in str(opened.tile):
            image = Image.fromarray(decode_image(content, path)[..., ::-1])
        return image.convert('L').resize(shape, Image.Resampling.BOX)
