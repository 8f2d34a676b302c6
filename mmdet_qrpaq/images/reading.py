"""Decodes images with more than eight bits a channel, by a rule for each file alone.

OpenCV, asked for a colour image, keeps the upper 8 of 16 bits, so that an image of a
12-bit camera comes out black, and reads no floats at all. Here the upper 8 of the bits
in use are kept: what fills 16 bits is read as ever.
"""

import struct
from io import BytesIO

import cv2
import numpy as np
from mmengine.fileio import get
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..errors import ConfigError

# What cameras deliver; an image is of the first that holds its largest value.
DEPTHS = (8, 10, 12, 14, 16)
SLACK = 0.05  # what resizing or lossy compression adds on both sides, of the range
_TIFF = (b'II', b'MM')
_BITS_PER_SAMPLE = 258
_ANY_DEPTH = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH


def read_image(path: str) -> np.ndarray:
    """Return an image as (height, width, 3) of uint8, red first; see `decode_image`."""
    return cv2.cvtColor(decode_image(get(path), path), cv2.COLOR_BGR2RGB)


def decode_image(content: bytes, place: str, bits: int | None = None) -> np.ndarray:
    """Return what a file holds as (height, width, 3) of uint8, blue first.

    Eight bits come as OpenCV reads them. Of deeper whole numbers the lowest bits are
    dropped; floats are of the first range, 0 to 1 or 0 to 255, that they keep within
    `SLACK`, and are clipped to it.

    Args:
        place: Where it is from, for the message.
        bits: Bits in use where there are more than eight; `None`: the first of `DEPTHS`
            that holds the largest value of the image.

    Raises:
        ConfigError: It is empty, damaged, of more pixels or another kind than OpenCV
            reads, or its numbers have no such range.
    """
    image = _decode(content)
    if image is None:
        reason = 'it is damaged, no image, or of a kind that is not read'
        if not content:
            reason = 'the file has 0 bytes'
        raise ConfigError(
            f'image {place} cannot be read ({reason}); replace it, or leave it out.'
        )
    return as_eight_bits(image, place, bits)


def as_eight_bits(image: np.ndarray, place: str, bits: int | None) -> np.ndarray:
    """Return an image of any depth as `decode_image` does, which see.

    Args:
        image: Of eight bits it is returned as it is, of more bits with three channels.

    Raises:
        ConfigError: Its numbers have no range that is known.
    """
    if image.dtype == np.uint8:
        return image
    image = in_colour(image)
    low, high = image.min(), image.max()  # a NaN is both
    if np.issubdtype(image.dtype, np.floating):
        for white in (1, 255):
            if -SLACK * white <= low and high <= (1 + SLACK) * white:
                return np.uint8(np.rint(np.clip(image * (255 / white), 0, 255)))
        known = 'floats from 0 to 1 or to 255'
    else:
        depth = bits or next((depth for depth in DEPTHS if high < 2**depth), 0)
        if low >= 0 and high < 2**depth:
            return np.uint8(image >> (depth - 8))
        known = f'whole numbers of {bits or DEPTHS[-1]} bits'
    raise ConfigError(
        f'image {place} holds {image.dtype} from {low:g} to {high:g}, and of this kind '
        f'{known} are read; save it as a PNG or TIFF of 16 bits.'
    )


def in_colour(image: np.ndarray) -> np.ndarray:
    """Return an image with three channels: grey is repeated, alpha is left out.

    Shapes:
        image: (h, w), (h, w, 1), (h, w, 2) grey and alpha, (h, w, 3) or (h, w, 4).
    """
    if image.ndim == 2 or image.shape[2] < 3:
        return np.dstack([image if image.ndim == 2 else image[..., 0]] * 3)
    return image[..., :3]


def _decode(content: bytes) -> np.ndarray | None:
    """Let OpenCV decode; `None` where it cannot."""
    if not content:
        return None
    buffer = np.frombuffer(content, np.uint8)
    try:
        if content.startswith(_TIFF):  # the one format in which it reads more types
            image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            if image is None or image.dtype not in (np.uint8, np.uint16):
                return image
            if image.dtype == np.uint8 and _is_deep_tiff(content):
                return None  # of grey with alpha it takes the upper 8 of 16 bits
        return cv2.imdecode(buffer, _ANY_DEPTH)
    except cv2.error:  # of more pixels than it takes
        return None


def _is_deep_tiff(content: bytes) -> bool:
    """Tell whether a channel has more than eight bits, in the first image."""
    file = BytesIO(content)
    try:
        size = 16 if content[2:4] in (b'+\0', b'\0+') else 8  # of 64-bit places or 32
        tags = ImageFileDirectory_v2(file.read(size))
        file.seek(tags.next)
        tags.load(file)
        return max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8
    except (OSError, SyntaxError, TypeError, ValueError, struct.error):
        return False  # what OpenCV has read
