"""What a data set is like, as far as a config depends on it."""

from dataclasses import dataclass

import numpy as np

from ..annotations import Annotations, read_annotations
from ..formats.folder import DataFolder


@dataclass(frozen=True)
class Facts:
    """Numbers of a data set; sizes in pixels, as the annotation files give them.

    Attributes:
        num_images: Images to train on.
        image_size: Median width and height of them, `None` if no file tells.
        image_sizes: All widths and heights that occur, in any split.
        most_objects: The largest number of objects in an image, in any split.
        crowded: Name of that image.
    """

    num_images: int
    image_size: tuple[int, int] | None
    image_sizes: frozenset[tuple[int, int]]
    most_objects: int
    crowded: str


def look_at(data: DataFolder) -> Facts:
    """Count and measure; whatever is wrong with the files is told by other checks.

    Raises:
        ConfigError: An annotation file is not in the COCO format.
    """
    read = {
        name: read_annotations(str(split.ann_file))
        for name, split in data.splits.items()
    }
    sizes = {name: _sizes(found) for name, found in read.items()}
    median = None
    if len(sizes['train']):
        median = tuple(np.median(sizes['train'], 0).round().astype(int).tolist())
    fullest = map(most_objects, read.values())
    most, crowded = max(fullest, key=lambda found: found[0])
    return Facts(
        num_images=len(read['train'].images['id']),
        image_size=median,
        image_sizes=frozenset(map(tuple, np.concatenate([*sizes.values()]).tolist())),
        most_objects=most,
        crowded=crowded,
    )


def most_objects(found: Annotations) -> tuple[int, str]:
    """Return the largest number of objects in an image, crowds aside, and its name."""
    rows = found.image_rows[~found.crowds & (found.image_rows >= 0)]
    if not len(rows):
        return 0, 'none'
    counts = np.bincount(rows)
    return int(counts.max()), found.image(int(counts.argmax()))


def _sizes(found: Annotations) -> np.ndarray:
    """Return widths and heights that can be ones, (images, 2), as whole numbers."""
    return found.sizes[(found.sizes > 0).all(1)].astype(int)
