#!/usr/bin/env python
"""Writes the README's tables of results from benchmarks/results/*.json.

``--check`` writes nothing and fails if the README is not what the results say.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
README = ROOT / 'README.md'

# PaQ-DETR Table 7: DINO++ and PaQ-DINO.
PAPER_COST = dict(
    host=dict(params=42.0e6, gmacs=196.0), ours=dict(params=43.8e6, gmacs=205.0)
)


def load(name: str) -> dict:
    """One result."""
    return json.loads((RESULTS / f'{name}.json').read_text())


def setting(result: dict) -> str:
    """Hardware, versions and commit, in one line."""
    env = result['environment']
    versions = env['versions']
    return (
        f'{env["hardware"]["device"]}, {env["hardware"]["cores"]} cores, torch '
        f'{versions["torch"]}, {env["date"]}, commit {env["commit"]}'
    )


def demo_table() -> str:
    """What `make demo` reached."""
    result = load('demo_digits')
    measured = result['measured']
    cells = [f'{measured[key]:.3f}' for key in ('AP', 'AP50', 'AP75')]
    cells += [f'{measured["gini"]:.2f}', f'{measured["training_minutes"]:.1f} min']
    return '\n'.join(
        [
            '| AP | AP50 | AP75 | Gini of query use | training |',
            '|---|---|---|---|---|',
            f'| {" | ".join(cells)} |',
            '',
            f'One run, seed {result["settings"]["seed"]}; {setting(result)}.',
        ]
    )


def cost_table() -> str:
    """Parameters and FLOPs against the host, the paper's beside ours."""
    result = load('cost_paq_dino_r50')
    rows = []
    for name, key, unit in (
        ('parameters, M', 'params', 1e6),
        ('GMACs (the paper: "FLOPs (G)")', 'gmacs', 1),
    ):
        cells = [name]
        for source in (PAPER_COST, result['measured']):
            host, ours = (source[model][key] / unit for model in ('host', 'ours'))
            percent = 100 * (ours / host - 1)
            cells += [
                f'{host:.1f}',
                f'{ours:.1f}',
                f'{ours - host:+.2f} ({percent:+.1f} %)',
            ]
        rows.append(f'| {" | ".join(cells)} |')
    head = ['', 'host, paper', 'PaQ, paper', 'difference, paper']
    head += ['host, counted', 'PaQ, counted', 'difference, counted']
    return '\n'.join([f'| {" | ".join(head)} |', '|---' * len(head) + '|', *rows])


def render(readme: str) -> str:
    """The README with its generated blocks made anew."""
    for name, table in (('demo results', demo_table()), ('cost', cost_table())):
        block = f'<!-- {name} -->\n{table}\n<!-- end of {name} -->'
        old = re.search(f'<!-- {name} -->.*?<!-- end of {name} -->', readme, re.S)
        if old is None:
            raise SystemExit(f'README.md has no block "{name}".')
        readme = readme.replace(old.group(), block)
    return readme


def main() -> None:
    """Updates or checks the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='only compare')
    readme = README.read_text()
    generated = render(readme)
    if not parser.parse_args().check:
        README.write_text(generated)
    elif generated != readme:
        sys.exit('README.md is not up to date: run python benchmarks/tables.py')


if __name__ == '__main__':
    main()
