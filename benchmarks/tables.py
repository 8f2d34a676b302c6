#!/usr/bin/env python
"""Writes the tables and pictures of the pages from benchmarks/results/.

``--check`` writes nothing and fails if a page is not what the results say.
"""

import argparse
import sys


def main() -> None:
    """Updates or checks the pages; pictures are made anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='only compare')
    check = parser.parse_args().check

    from pages import PAGES, ROOT, draw_pictures, render

    if not check:
        draw_pictures()
    for page in PAGES:
        generated = render(page)
        if not check:
            page.write_text(generated)
        elif generated != page.read_text():
            sys.exit(
                f'{page.relative_to(ROOT)} is not up to date: run '
                'python benchmarks/tables.py'
            )


if __name__ == '__main__':
    main()
