"""Writes what a benchmark measured, with where it was measured beside it."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
sys.path.insert(0, str(ROOT / 'tools'))
from mmdet_qrpaq.records.provenance import describe_environment  # noqa: E402, F401  (for all)


def out_path(parser: argparse.ArgumentParser, out: Path | None, name: str) -> Path:
    """Where a result goes, checked before anything is measured.

    Args:
        out: As given; None is ``benchmarks/results/<name>.json``.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    path = (out or RESULTS / f'{name}.json').absolute()
    if path.suffix != '.json':
        parser.error(f'--out {out} does not end in .json.')

    from mmdet_qrpaq.records.results import require_writable_folder

    require_writable_folder(str(path.parent), '--out')
    return path


def require_device(parser: argparse.ArgumentParser, device: str) -> None:
    """Refuses ``--device cuda`` where torch finds no GPU."""
    if device == 'cuda':
        import torch

        if not torch.cuda.is_available():
            parser.error('--device cuda: torch finds no GPU here; use --device cpu.')


def write(
    path: Path,
    kind: str,
    environment: dict[str, Any],
    settings: dict,
    measured: dict | list,
) -> Path:
    """Writes one result, whole or not at all.

    Args:
        environment: As ``describe_environment`` told it at the start; at the end the
            checkout may be another.
    """
    from mmdet_qrpaq.records.results import write_json

    result = dict(
        kind=kind,
        environment=environment,
        settings=settings,
        measured=measured,
    )
    return write_json(path, result)


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
    commits = listed(map(commit, found))
    return f'{machines}, {listed(env["date"] for env in found)}, commit {commits}'


def commit(environment: dict) -> str:
    """The commit, and whether there was more to it."""
    return f'{environment["commit"]}{" with changes" * bool(environment["dirty"])}'
