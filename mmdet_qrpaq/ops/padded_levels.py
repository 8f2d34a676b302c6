"""A pyramid of feature maps as one table of rows, with zeros around each map."""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from torch import Tensor, cat, zeros_like


class PaddedLevels(NamedTuple):
    """Where the cells of each level lie in the table.

    A cell is the square between four neighbouring pixels, named by the row of its upper
    left one. A level of h x w pixels has (h + 1) x (w + 1) cells and lies in h + 2
    lines of w + 1 rows, and one row more: the zero left of a line is right of the line
    before. The corners of cell `r` are `r`, `r + 1`, `r + w + 1` and `r + w + 2`.

    Attributes:
        shapes: (h, w) of each level.
    """

    shapes: tuple[tuple[int, int], ...]

    @property
    def ends(self) -> list[int]:
        """The row at which each level ends."""
        return list(accumulate((h + 2) * (w + 1) + 1 for h, w in self.shapes))

    @property
    def starts(self) -> list[int]:
        """The row at which each level starts."""
        return [0, *self.ends[:-1]]

    def cells(self, table: Tensor) -> Iterator[Tensor]:
        """Yield a view of the cells of each level.

        Shapes:
            table: (bs, heads, rows, dim)
            yields: (bs, heads, h + 1, w + 1, dim)
        """
        for (h, w), start in zip(self.shapes, self.starts, strict=True):
            rows = table[:, :, start : start + (h + 1) * (w + 1)]
            yield rows.unflatten(2, (h + 1, w + 1))

    def pad(self, value: Tensor) -> Tensor:
        """Return the table of the pixels of all levels.

        Shapes:
            value: (bs, sum h w, heads, dim)
            returns: (bs, heads, rows, dim)
        """
        bs, _, heads, dim = value.shape
        table = value.new_zeros(bs, heads, self.ends[-1], dim)
        pixels = value.transpose(1, 2).split([h * w for h, w in self.shapes], 2)
        for cells, level, size in zip(
            self.cells(table), pixels, self.shapes, strict=True
        ):
            cells[:, :, 1:, 1:] = level.unflatten(2, size)
        return table

    def unpad(self, table: Tensor) -> Tensor:
        """Return the pixels of all levels, the opposite of `pad`."""
        pixels = [cells[:, :, 1:, 1:].flatten(2, 3) for cells in self.cells(table)]
        return cat(pixels, 2).transpose(1, 2)

    def add_corners(self, corners: Iterable[Tensor]) -> Tensor:
        """Return the table to which each cell adds something at each of its corners.

        Args:
            corners: What is added upper left, upper right, lower left and lower right;
                they may be made one at a time.

        Shapes:
            corners, returns: (bs, heads, rows, dim)
        """
        total = None
        for number, corner in enumerate(corners):
            total = zeros_like(corner) if total is None else total
            line, column = divmod(number, 2)
            for (h, w), start in zip(self.shapes, self.starts, strict=True):
                size = (h + 1) * (w + 1)
                shifted = total.narrow(2, start + line * (w + 1) + column, size)
                shifted.add_(corner.narrow(2, start, size))
        return total
