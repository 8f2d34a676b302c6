"""Writes what a benchmark measured, with where it was measured beside it."""

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
sys.path.insert(0, str(ROOT / 'tools'))
from sweeping.environment import describe_environment  # noqa: E402

from mmdet_qrpaq.analysis.results import write_json  # noqa: E402


def write(name: str, kind: str, settings: dict, measured: dict) -> Path:
    """Writes one result as ``benchmarks/results/<name>.json``, whole or not at all."""
    result = dict(
        kind=kind,
        environment=describe_environment(),
        settings=settings,
        measured=measured,
    )
    return write_json(RESULTS / f'{name}.json', result)


def setting(*results: dict) -> str:
    """Hardware, versions, dates and commits of results, in one line."""
    found = [result['environment'] for result in results]

    def listed(values: Iterable[str]) -> str:
        return ' and '.join(sorted(set(values)))

    machines = listed(
        f'{env["hardware"]["device"]}, {env["hardware"]["cores"]} cores, torch '
        f'{env["versions"]["torch"]}'
        for env in found
    )
    commits = listed(
        f'{env["commit"]}{" with changes" if env["dirty"] else ""}' for env in found
    )
    return f'{machines}, {listed(env["date"] for env in found)}, commit {commits}'
