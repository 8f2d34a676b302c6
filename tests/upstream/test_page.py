"""Every row of docs/upstream.md names what holds it, and every holder has a row."""

import re
from pathlib import Path

from check_each import check_each
from tiny_hosts import REPOSITORY

PAGE = REPOSITORY / 'docs' / 'upstream.md'
LINK = re.compile(r'\[([^]]+)\]\(([^)]+)\)')
ROWS = [
    line
    for line in PAGE.read_text().splitlines()
    if line.startswith('| ') and 'held by' not in line
]


def holders(row: str) -> list[tuple[str, Path]]:
    """Name and file of what the last cell links to."""
    cell = row.rstrip(' |').rpartition(' | ')[2]
    return [(name, (PAGE.parent / path).resolve()) for name, path in LINK.findall(cell)]


def written_in(path: Path) -> list[str]:
    return re.findall(r'^def (test_\w+)', path.read_text(), re.MULTILINE)


def test_every_row_is_held_by_something_that_exists():
    def check(row):
        assert holders(row), 'it names nothing'
        for name, path in holders(row):
            known = [path.stem] if path.suffix == '.sh' else written_in(path)
            assert name in known, f'{name} is not in {path}'

    check_each(check, ROWS)


def test_what_is_held_elsewhere_says_where_it_was_seen():
    kept_here = (Path(__file__).parent, REPOSITORY / 'findings')

    def check(row):
        elsewhere = [p for _, p in holders(row) if p.parent not in kept_here]
        assert not elsewhere or 'seen on' in row

    check_each(check, ROWS)


def test_everything_that_was_found_has_a_row():
    named = {name for row in ROWS for name, _ in holders(row)}
    here = Path(__file__)
    files = [path for path in here.parent.glob('test_*.py') if path != here]
    found = {name for path in files for name in written_in(path)}
    found |= {path.stem for path in (REPOSITORY / 'findings').glob('*.sh')}
    assert found <= named, f'no row for {sorted(found - named)}'
