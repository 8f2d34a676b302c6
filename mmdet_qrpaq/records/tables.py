"""Tables of results: made once, shown on a screen, in Markdown or on a page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDE = 1000  # columns of text where there is no terminal: nothing is cut


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row.

    Attributes:
        caption: What is in it.
        columns: Headings.
        rows: Cells, as text.
        words: Places of the columns that hold words, not numbers.
        notes: Sentences to go with it: how to read it, or a warning.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = (0,)
    notes: Sequence[str] = ()


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share in percent; a dash where there is none."""
    return '–' if value is None else f'{100 * value:.{digits}f}'


def plain(value: float | None, digits: int = 2) -> str:
    """Write a number; a dash where there is none."""
    return '–' if value is None else f'{value:.{digits}f}'


def markdown(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: Sequence[int] | None = None,
) -> str:
    """Write a table in Markdown.

    Args:
        words: Places of the columns that hold words; the others go to the right. None
            leaves that to whoever shows the table.
    """
    rule = '|'.join(
        '---' if words is None or place in words else '---:'
        for place in range(len(columns))
    )
    lines = [f'| {" | ".join(columns)} |', f'|{rule}|']
    return '\n'.join([*lines, *(f'| {" | ".join(row)} |' for row in rows)])


def print_table(table: Table) -> None:
    """Print a table on the screen, its notes below it."""
    import sys

    from rich import console
    from rich import table as rich_table

    screen = console.Console(width=None if sys.stdout.isatty() else WIDE)
    drawn = rich_table.Table(title=table.caption)
    for place, heading in enumerate(table.columns):
        drawn.add_column(heading, justify='left' if place in table.words else 'right')
    for row in table.rows:
        drawn.add_row(*row)
    screen.print(drawn)
    for note in table.notes:
        screen.print(note, highlight=False)
