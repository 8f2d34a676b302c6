"""One HTML page out of the parts of a report, with everything in it.

The page needs no network and no script: figures are base64 in it. Its template is
`report.html.j2` beside this file; Jinja escapes whatever is put in.
"""

import base64
import struct
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...records.provenance import typed_command
from ...records.results import write_whole
from .parts import FAILED, Part


def write_page(out: Path, title: str, parts: Iterable[Part]) -> list[str]:
    """Write the page, tell how each part went, and return titles of those that failed.

    Args:
        title: Heading.
        parts: In order, as they are made.
    """
    made = []
    for part in parts:
        print(f'  {part.status}' + (f': {part.sentence}' if part.sentence else ''))
        made.append(part)
    print(write_whole(out, render_page(title, typed_command(), made)))
    return [part.title for part in made if part.status == FAILED]


def render_page(title: str, command: str, parts: Sequence[Part]) -> str:
    """Return the page.

    Args:
        title: Heading.
        command: What made it.
        parts: In order; those of one section follow each other.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters['base64'] = lambda png: base64.b64encode(png).decode()
    environment.globals['size_of'] = png_size
    sections = [
        (section, list(members))
        for section, members in groupby(parts, lambda part: part.section)
    ]
    return environment.get_template('report.html.j2').render(
        title=title,
        command=command,
        today=date.today().isoformat(),
        sections=sections,
    )


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height in pixels, so that the page does not jump."""
    return struct.unpack('>II', png[16:24])
