#!/usr/bin/env python
"""Time the report against an earlier commit's, and compare what the two say.

    python benchmarks/report.py --model host CONFIG CHECKPOINT \\
        --model ours CONFIG CHECKPOINT --commit c59e4f2

Both run in turns on this machine, on the same checkpoints and images, each in a fresh
folder; configs are those of each commit. Numbers are compared one by one; times and
memory, which no two runs share, are not.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.recording import out_path, write
from mmdet_qrpaq.command_line import load_package, new_parser, run
from mmdet_qrpaq.records.provenance import ROOT, describe_environment

# Of these sections no two runs give the same.
TIMED = ('p50', 'p95', 'seconds', 'peak_bytes', 'stages', 'hardware', 'times')
SAME = 1e-6  # relative
TOLD = 5  # of the values of a part that differ


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        '--model',
        nargs=3,
        action='append',
        required=True,
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='a model; CONFIG is a path below the project, which both commits have',
    )
    parser.add_argument(
        '--commit', default='c59e4f2', help='what to compare with (c59e4f2)'
    )
    parser.add_argument('--repeats', type=int, default=3, help='runs of each (3)')
    parser.add_argument(
        '--out', type=Path, help='where the JSON goes (benchmarks/results/report.json)'
    )
    args = parser.parse_args(argv)
    args.out = out_path(parser, args.out, 'report')
    return args


def main(argv: list[str] | None = None) -> None:
    """Time, compare and write."""
    args = parse_args(argv)
    load_package()
    environment = describe_environment('cpu')
    spent: dict[str, list[dict[str, float]]] = {'then': [], 'now': []}
    with tempfile.TemporaryDirectory() as folder:
        then = Path(folder) / 'then'
        _git('worktree', 'add', '--detach', str(then), args.commit)
        try:
            trees = {'then': then, 'now': ROOT}
            for number in range(args.repeats):
                # In turns, so that a slow hour meets both.
                for name in sorted(trees, reverse=bool(number % 2)):
                    page = Path(folder) / f'{name}{number}' / 'report.html'
                    spent[name].append(make_report(trees[name], args.model, page))
                    print(name, spent[name][-1], flush=True)
            found = {
                name: read_numbers(Path(folder) / f'{name}0' / 'report_files')
                for name in trees
            }
        finally:
            _git('worktree', 'remove', '--force', str(then))
    ratios = [
        now['wall'] / before['wall']
        for now, before in zip(spent['now'], spent['then'], strict=True)
    ]
    measured = dict(
        seconds=spent,
        ratio=dict(median=statistics.median(ratios), all=ratios),
        numbers=compare(found['then'], found['now']),
    )
    settings = dict(
        commit=args.commit, models=args.model, threads=os.environ.get('OMP_NUM_THREADS')
    )
    print(json.dumps(measured['numbers'], indent=1))
    print(f'ratio {measured["ratio"]["median"]:.3f}')
    print(write(args.out, 'report', environment, settings, measured))


def make_report(tree: Path, models: list[list[str]], page: Path) -> dict[str, float]:
    """Make a report with the code of a tree; return wall and CPU seconds."""
    page.parent.mkdir()
    (first, config, checkpoint), *others = models
    words = [str(tree / config), checkpoint, '--name', first]
    for name, config, checkpoint in others:
        words += ['--also', name, str(tree / config), checkpoint]
    command = [sys.executable, str(tree / 'tools/analysis/report.py'), *words]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*command, '--out', str(page)],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(tree)),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f'error: {" ".join(command)} failed:\n{done.stderr[-2000:]}')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return dict(wall=time.monotonic() - started, cpu=cpu)


def read_numbers(folder: Path) -> dict[str, Any]:
    """Return the numbers of each part, by the stem of its file."""
    return {
        path.stem: json.loads(path.read_text())['numbers']
        for path in sorted(folder.glob('*.json'))
    }


def compare(then: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return, for each part, how many values there are and which of them differ."""
    result = {}
    for part in sorted(then.keys() | now.keys()):
        before = dict(leaves(then.get(part, {})))
        after = dict(leaves(now.get(part, {})))
        differing = [
            f'{key}: {before.get(key)} -> {after.get(key)}'
            for key in sorted(before.keys() | after.keys())
            if not _alike(before.get(key), after.get(key))
        ]
        result[part] = dict(
            values=len(before), differing=len(differing), such_as=differing[:TOLD]
        )
    return result


def leaves(value: Any, place: str = '') -> Iterator[tuple[str, Any]]:
    """Yield each value with its place, but for what is timed."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if key in TIMED:
            continue
        where = f'{place}.{key}'
        if isinstance(inner, dict | list):
            yield from leaves(inner, where)
        else:
            yield where, inner


def _alike(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return abs(before - after) <= SAME * max(abs(before), abs(after))
    return before == after


def _git(*words: str) -> None:
    subprocess.run(['git', '-C', str(ROOT), *words], check=True, capture_output=True)


if __name__ == '__main__':
    run(main)
