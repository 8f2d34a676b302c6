#!/usr/bin/env python
"""Write the tables and figures of the pages from benchmarks/results/.

`--check` writes nothing and fails if a page is not what the results say.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    """Update or check the pages; figures are made anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='only compare')
    check = parser.parse_args().check

    from benchmarks.pages import PAGES, ROOT, draw_figures, render

    if not check:
        draw_figures()
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
