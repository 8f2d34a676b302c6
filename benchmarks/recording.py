"""Writes what a benchmark measured, with where it was measured beside it."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
sys.path.insert(0, str(ROOT / 'tools'))
from sweeping.environment import describe_environment  # noqa: E402


def write(name: str, kind: str, settings: dict, measured: dict) -> Path:
    """Writes one result as ``benchmarks/results/<name>.json``, whole or not at all."""
    result = dict(
        kind=kind,
        environment=describe_environment(),
        settings=settings,
        measured=measured,
    )
    path = RESULTS / f'{name}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix('.tmp')
    draft.write_text(json.dumps(result, indent=2) + '\n')
    draft.replace(path)
    return path
