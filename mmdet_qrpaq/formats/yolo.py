"""Reads YOLO: one text file an image, one object a line, in shares of the image."""

from pathlib import Path

from ..errors import ConfigError
from .class_names import read_class_file
from .shapes import Broken, Record, Shape, number, outline, read_text

CLASS_FILES = ('data.yaml', 'classes.txt')
_LARGEST_SHARE = 2  # beyond it, the values are surely pixels


class Yolo:
    """The format `yolo`.

    A line is `class cx cy w h` or, for segmentation, `class x1 y1 x2 y2 x3 y3 ...`.
    An empty file is an image without objects.

    Args:
        classes: Class names in the order of their numbers.
    """

    suffix = '.txt'

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes

    def read(self, path: Path) -> Record:
        """Read one file.

        Raises:
            Broken: It is no text.
        """
        lines = enumerate(read_text(path).splitlines(), 1)
        entries = [(f'line {i}', line.split()) for i, line in lines if line.strip()]
        return Record(None, None, entries)

    def shape(self, entry: list[str], size: tuple[int, int]) -> Shape:
        """Return one object.

        Args:
            size: Width and height of the image in pixels.

        Raises:
            Broken: It has the wrong number of values, or wrong ones.
        """
        if len(entry) != 5 and (len(entry) < 7 or len(entry) % 2 == 0):
            raise Broken(
                'bad line',
                f'it has {len(entry)} values, where 5 make a box (class cx cy w h) '
                'and an odd number from 7 on a polygon (class x1 y1 x2 y2 x3 y3 ...)',
            )
        label = number(entry[0], 'the class number')
        if label not in range(len(self.classes)):
            raise Broken(
                'unknown class',
                f'class {entry[0]} is not among the {len(self.classes)} classes, '
                f'which are 0 to {len(self.classes) - 1}',
            )
        name = self.classes[int(label)]
        shares = [number(v, f'value {i}') for i, v in enumerate(entry[1:], 2)]
        largest = max(shares, key=abs)
        if abs(largest) > _LARGEST_SHARE:
            raise Broken(
                'bad number',
                f'the value {largest:g} is no share of the image, which goes from '
                '0 to 1',
            )
        pixels = [share * size[i % 2] for i, share in enumerate(shares)]
        if len(pixels) > 4:
            return outline(name, [pixels])
        x, y, width, height = pixels
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Shape(name, box)


def find_classes(folder: Path) -> tuple[str, ...]:
    """Read the class names beside the labels, or up to two folders above.

    Raises:
        ConfigError: There are none.
    """
    folder = folder.absolute()
    for place in (folder, *folder.parents[:2]):
        for name in CLASS_FILES:
            if (place / name).is_file():
                return read_class_file(place / name)
    raise ConfigError(
        f'{folder} holds neither {" nor ".join(CLASS_FILES)}, nor do the two folders '
        'above it; name the classes with --classes.'
    )
