"""Draws detections on an image, in its own size."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_masks

from .detections import Detections
from .model import Colour

SMALLEST_FONT = 10  # pixels
OPACITY = 0.45  # of a mask


def draw(
    image: np.ndarray,
    found: Detections,
    classes: Sequence[str],
    colours: Sequence[Colour],
) -> np.ndarray:
    """Return a copy of an image with boxes, names, scores and masks on it.

    The best detection is drawn last. A name stands above its box, or inside where there
    is no room.

    Args:
        image: Blue first.
        classes: Names, by label.
        colours: Red, green, blue, by label.

    Shapes:
        image: (h, w, 3) of uint8, and so is what is returned.
    """
    pixels = np.ascontiguousarray(image[..., ::-1])
    order = np.argsort(found.scores, kind='stable')
    if found.masks is not None:
        for row in order:
            inside = coco_masks.decode(found.masks[row]).astype(bool)
            colour = np.array(colours[found.labels[row]])
            pixels[inside] = (1 - OPACITY) * pixels[inside] + OPACITY * colour
    canvas = Image.fromarray(pixels)
    brush = ImageDraw.Draw(canvas)
    font = _font(max(SMALLEST_FONT, round(0.55 * min(canvas.size) ** 0.5)))
    line = max(1, round(font.size / 7))
    for row in order:
        label = found.labels[row]
        box = found.boxes[row].tolist()
        colour = colours[label]
        brush.rectangle(_inside(box, canvas.size), None, colour, line)
        text = f'{classes[label]} {found.scores[row]:.2f}'
        _write(brush, text, box, colour, font, canvas.size)
    return np.ascontiguousarray(np.asarray(canvas)[..., ::-1])


def _inside(box: Sequence[float], size: tuple[int, int]) -> tuple[int, ...]:
    """Return the outermost pixels of a box; its right and bottom are beyond them."""
    left, top, right, bottom = map(round, box)
    right, bottom = min(right, size[0]) - 1, min(bottom, size[1]) - 1
    left, top = max(left, 0), max(top, 0)
    return left, top, max(left, right), max(top, bottom)


def _write(
    brush: ImageDraw.ImageDraw,
    text: str,
    box: Sequence[float],
    colour: Colour,
    font: ImageFont.FreeTypeFont,
    size: tuple[int, int],
) -> None:
    """Write a name on a patch of its colour."""
    wide, high = round(font.getlength(text)) + 2, font.size + 2
    left = max(0, min(round(box[0]), size[0] - wide))
    above = round(box[1]) - high
    top = above if above >= 0 else max(0, round(box[1]))
    brush.rectangle((left, top, left + wide - 1, top + high - 1), colour)
    brightness = np.dot(colour, (0.299, 0.587, 0.114))
    ink = 'black' if brightness > 127 else 'white'
    brush.text((left + 1, top + high / 2), text, ink, font, anchor='lm')


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's own font, which mmengine brings: Latin, Greek, Cyrillic."""
    path = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
    return ImageFont.truetype(str(path), size)
