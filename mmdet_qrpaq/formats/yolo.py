"""Reads YOLO: one text file an image, one object a line, in shares of the image."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .listing import SUFFIXES
from .shapes import Broken, Record, Shape, four_corners, number, outline, read_text

_LARGEST_SHARE = 2  # beyond it, the values are surely pixels


class Yolo:
    """The format `yolo`.

    A line is `class cx cy w h` or, for segmentation and for turned boxes of four
    corners, `class x1 y1 x2 y2 x3 y3 ...`; with key points, these follow the box and
    are left out. An empty file is an image without objects. A line of four corners may
    be either: a polygon, unless the boxes are known to be turned.

    Args:
        classes: Class names in the order of their numbers.
        key_points: How many there are in a line, and how many values each has; `None`:
            none.
        turned: Whether corners are those of turned boxes, and not polygons.
    """

    suffix = '.txt'

    def __init__(
        self,
        classes: tuple[str, ...],
        key_points: tuple[int, int] | None = None,
        turned: bool = False,
    ) -> None:
        self.classes = classes
        self.key_points = key_points
        self.turned = turned

    def read(self, path: Path) -> Record | None:
        """Read one file; `None`: it is a list of images.

        Raises:
            Broken: It is no text.
        """
        lines = [line.strip() for line in read_text(path).splitlines()]
        if any(lines) and all(x.lower().endswith(SUFFIXES) for x in lines if x):
            return None
        entries = [(f'line {i}', x.split()) for i, x in enumerate(lines, 1) if x]
        return Record(None, None, entries)

    def shape(self, entry: list[str], size: tuple[int, int]) -> Shape:
        """Return one object.

        Args:
            size: Width and height of the image in pixels.

        Raises:
            Broken: It has the wrong number of values, or wrong ones.
        """
        self._check_length(len(entry))
        label = number(entry[0], 'the class number')
        if label not in range(len(self.classes)):
            raise Broken(
                'unknown class',
                f'class {entry[0]} is not among the {len(self.classes)} classes, '
                f'which are 0 to {len(self.classes) - 1}',
            )
        name = self.classes[int(label)]
        if self.key_points:
            shape = _box(name, entry[1:5], size)
            return replace(shape, remarks=('objects whose key points were left out',))
        shape = _box(name, entry[1:], size)
        if self.turned and shape.polygons:
            remarks = (*shape.remarks, 'turned boxes read as the boxes around them')
            return replace(shape, polygons=[], remarks=remarks)
        return shape

    def _check_length(self, length: int) -> None:
        if self.key_points:
            number_of, values = self.key_points
            if length != 5 + number_of * values:
                raise Broken(
                    'bad line',
                    f'it has {length} values, where `kpt_shape` asks for 5 + '
                    f'{number_of} x {values} (class cx cy w h, then the key points)',
                )
        elif length != 5 and (length < 7 or length % 2 == 0):
            raise Broken(
                'bad line',
                f'it has {length} values, where 5 make a box (class cx cy w h) '
                'and an odd number from 7 on a polygon (class x1 y1 x2 y2 x3 y3 ...)',
            )


def all_turned(paths: Iterable[Path]) -> bool:
    """Whether label files hold lines of four corners and no others: turned boxes."""
    reader, found = Yolo(()), False
    for path in paths:
        try:
            record = reader.read(path)
        except Broken:  # which the reading for good names or leaves out
            continue
        for _, entry in record.entries if record else ():
            if len(entry) != 1 + 2 * 4:
                return False
            found = True
    return found


def _box(name: str, values: list[str], size: tuple[int, int]) -> Shape:
    """Return a box of 4 values, or a polygon of more."""
    shares = [number(v, f'value {i}') for i, v in enumerate(values, 2)]
    largest = max(shares, key=abs)
    if abs(largest) > _LARGEST_SHARE:
        raise Broken(
            'bad number',
            f'the value {largest:g} is no share of the image, which goes from 0 to 1',
        )
    pixels = [share * size[i % 2] for i, share in enumerate(shares)]
    if len(pixels) == 2 * 4:
        return four_corners(name, pixels, size)
    if len(pixels) > 4:
        return outline(name, [pixels])
    x, y, width, height = pixels
    return Shape(name, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
