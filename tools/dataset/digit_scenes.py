"""Draw digits on photographs and trace them: the images behind `make_digits.py`.

Called by `digit_dataset.py`, which numbers the images and writes the files. Nothing
here touches the disk except to read what scikit-image ships.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage
from pycocotools import mask as coco_mask
from sklearn.datasets import load_digits


class DatasetError(ValueError):
    """A setting, path or package cannot work: one sentence that says what to do.

    An error of its own, for the data need neither torch nor mmdet.
    """


# Images with letters or numerals in them (text, page, clock) are left out: they
# would be objects without a box.
PHOTOGRAPHS = {
    'train': (
        'astronaut.png',
        'brick.png',
        'camera.png',
        'cell.png',
        'chelsea.png',
        'coins.png',
        'grass.png',
        'hubble_deep_field.jpg',
        'ihc.png',
        'moon.png',
        'motorcycle_left.png',
    ),
    'val': ('coffee.png', 'gravel.png', 'retina.jpg', 'rocket.jpg'),
}


def read_photographs(split: str) -> dict[str, np.ndarray]:
    """Read one split's photographs from inside the scikit-image package.

    Raises:
        DatasetError: This scikit-image does not ship one of the images.
    """
    folder = Path(skimage.__file__).parent / 'data'
    photographs = {}
    for name in PHOTOGRAPHS[split]:
        photographs[name] = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if photographs[name] is None:
            raise DatasetError(
                f'scikit-image {skimage.__version__} has no readable image '
                f'{folder / name}; reinstall scikit-image (0.22 or later).'
            )
    return photographs


@cache
def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return all handwritten digits, in [0, 1], and their labels.

    Shapes:
        glyphs: (1797, 8, 8); labels: (1797,).
    """
    bunch = load_digits()
    return bunch.images / 16.0, bunch.target


def digit_rows(split: str) -> np.ndarray:
    """Return the rows of scikit-learn's digits that belong to a split.

    Within each class every fifth digit goes to val and the others to train.
    """
    _, target = read_digits()
    rank = np.empty_like(target)
    for label in range(10):
        members = np.flatnonzero(target == label)
        rank[members] = np.arange(len(members))
    in_val = rank % 5 == 0
    return np.flatnonzero(in_val if split == 'val' else ~in_val)


def raster_side(side: int) -> int:
    """Return the side of a digit's raster with its margin; no drawn digit is larger.

    Args:
        side: Pixels that the 8 raster cells take; the margin adds one on every edge.
    """
    return round(side * 10 / 8)


def draw_digit(glyph: np.ndarray, side: int) -> np.ndarray:
    """Enlarge an 8x8 digit smoothly and crop it to its stroke.

    Args:
        glyph: Stroke strength in [0, 1].
        side: Pixels that the 8 raster cells take after enlarging.

    Shapes:
        glyph: (8, 8); returns alpha: (h, w) with h, w <= about `side`, in [0, 1].
    """
    padded = np.pad(glyph.astype(np.float32), 1)
    size = raster_side(side)
    smooth = cv2.resize(padded, (size, size), interpolation=cv2.INTER_CUBIC)
    alpha = np.clip((smooth - 0.3) / 0.3, 0, 1)
    rows, columns = np.nonzero(alpha >= 0.5)
    return alpha[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def trace_polygons(mask: np.ndarray) -> list[list[float]]:
    """Trace a binary mask as COCO polygons, one list of x, y, x, y, ... per part.

    COCO polygons have no holes, so a digit with holes (0, 4, 6, 8, 9) is cut along
    the middle column of each hole and its pieces are traced one by one. Parts of
    fewer than four pixels, which no rasteriser keeps reliably, are dropped.

    Shapes:
        mask: (h, w), bool; coordinates are pixel edges, in [0, w] and [0, h].
    """
    background, labels = cv2.connectedComponents(
        np.pad(~mask, 1, constant_values=True).astype(np.uint8), connectivity=4
    )
    labels = labels[1:-1, 1:-1]
    for hole in range(2, background):
        # Label 1 holds the padded corner pixel: the outside.
        column = int(np.median(np.nonzero(labels == hole)[1]))
        left, right = mask.copy(), mask.copy()
        left[:, column:] = False
        right[:, :column] = False
        return trace_polygons(left) + trace_polygons(right)
    polygons = []
    parts, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    for number in range(1, parts):
        part = labels == number
        if part.sum() >= 4:
            polygons.append(_outline(part))
    return polygons


def _outline(part: np.ndarray) -> list[float]:
    """Trace one hole-free, 4-connected part along its pixel edges."""
    # On a grid three times as fine the corners of OpenCV's contour, which runs through
    # pixel centres, lie 1/6 pixel inside the true edge, so rounding finds the edge.
    fine = part.astype(np.uint8).repeat(3, axis=0).repeat(3, axis=1)
    contours, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contour = max(contours, key=len)
    edges = np.rint((contour[:, 0].astype(float) + 0.5) / 3)
    keep = np.any(edges != np.roll(edges, 1, axis=0), axis=1)
    return edges[keep].reshape(-1).tolist()


def compose(
    rng: np.random.Generator,
    photographs: dict[str, np.ndarray],
    digits: np.ndarray,
    settings: dict,
) -> tuple[np.ndarray, str, list[dict]]:
    """Draw one image: a dimmed crop of a photograph and digits that do not overlap.

    Args:
        photographs: BGR images by name.
        digits: Rows of scikit-learn's digits to choose from.
        settings: `size`, `objects` and `digit_size` of the data set.

    Shapes:
        image: (size, size, 3), uint8, BGR; masks in the objects: (size, size).

    Returns:
        The image, the photograph's name, and per object `digit` (row), `label`
        and `mask` (bool).
    """
    size = settings['size']
    name = sorted(photographs)[rng.integers(len(photographs))]
    image = _background(rng, photographs[name], size)
    glyphs, labels = read_digits()
    occupied = np.zeros((size, size), bool)
    objects = []
    lowest, highest = settings['objects']
    for _ in range(rng.integers(lowest, highest + 1)):
        row = int(rng.choice(digits))
        low, high = settings['digit_size']
        alpha = draw_digit(glyphs[row], int(rng.integers(low, high + 1)))
        corner = _free_corner(rng, occupied, alpha.shape)
        if corner is None:
            continue
        top, left = corner
        window = np.s_[top : top + alpha.shape[0], left : left + alpha.shape[1]]
        occupied[window] = True
        colour = 255 - 110 * rng.random(3) * rng.random()
        blended = image[window] * (1 - alpha[..., None]) + colour * alpha[..., None]
        image[window] = blended
        mask = np.zeros((size, size), bool)
        mask[window] = alpha >= 0.5
        objects.append(dict(digit=row, label=int(labels[row]), mask=mask))
    return np.rint(image).astype(np.uint8), name, objects


def _background(
    rng: np.random.Generator, photograph: np.ndarray, size: int
) -> np.ndarray:
    """Cut a random square, maybe mirrored, out of a photograph and dim it."""
    height, width = photograph.shape[:2]
    side = int(rng.integers(min(height, width) // 3, min(height, width) + 1))
    top = rng.integers(height - side + 1)
    left = rng.integers(width - side + 1)
    crop = photograph[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop * rng.uniform(0.25, 0.5)


def _free_corner(
    rng: np.random.Generator, occupied: np.ndarray, shape: tuple[int, int]
) -> tuple[int, int] | None:
    """Find a top-left corner where a box touches no earlier box, if one turns up."""
    size = len(occupied)
    for _ in range(40):
        top = int(rng.integers(size - shape[0] + 1))
        left = int(rng.integers(size - shape[1] + 1))
        around = np.s_[
            max(top - 2, 0) : top + shape[0] + 2,
            max(left - 2, 0) : left + shape[1] + 2,
        ]
        if not occupied[around].any():
            return top, left
    return None


def annotate(mask: np.ndarray) -> dict:
    """Turn a mask into COCO's `segmentation`, `area` and `bbox` (x, y, w, h; pixels).

    Area and box are those of the polygons as COCO itself rasterises them, so all
    three agree.
    """
    polygons = trace_polygons(mask)
    rle = coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape))
    return dict(
        segmentation=polygons,
        area=float(coco_mask.area(rle)),
        bbox=coco_mask.toBbox(rle).tolist(),
        iscrowd=0,
    )
