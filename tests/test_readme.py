"""The README shows what the committed results say."""

import importlib.util
import json
import re

from tiny_hosts import REPOSITORY

RESULTS = sorted((REPOSITORY / 'benchmarks' / 'results').rglob('*.json'))


def test_the_tables_are_those_of_the_results():
    path = REPOSITORY / 'benchmarks' / 'pages.py'
    spec = importlib.util.spec_from_file_location('qrpaq_tables', path)
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    for page in tables.PAGES:
        assert tables.render(page) == page.read_text(), page


def test_a_result_says_how_it_was_measured():
    assert RESULTS
    for path in RESULTS:
        result = json.loads(path.read_text())
        assert set(result) == {'kind', 'environment', 'settings', 'measured'}
        assert set(result['environment']) == {
            'date',
            'commit',
            'dirty',
            'command',
            'python',
            'versions',
            'hardware',
        }


def test_links_and_figures_exist():
    for page in [REPOSITORY / 'README.md', *(REPOSITORY / 'docs').glob('*.md')]:
        for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
            if '://' not in target:
                assert (page.parent / target).exists(), f'{page.name}: {target}'
