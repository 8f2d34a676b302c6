"""Write what a benchmark measured, with where it was measured beside it."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.records.results import require_writable_folder, write_json

RESULTS = ROOT / 'benchmarks' / 'results'


def out_path(parser: argparse.ArgumentParser, out: Path | None, name: str) -> Path:
    """Return where a result goes, checked before anything is measured.

    Args:
        out: As given; None is `benchmarks/results/<name>.json`.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    path = (out or RESULTS / f'{name}.json').absolute()
    if path.suffix != '.json':
        parser.error(f'--out {out} does not end in .json.')
    require_writable_folder(str(path.parent), '--out')
    return path


def require_device(parser: argparse.ArgumentParser, device: str) -> None:
    """Refuse `--device cuda` where torch finds no GPU."""
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
    """Write one result, whole or not at all.

    Args:
        environment: As `describe_environment` told it at the start; at the end the
            checkout may be another.
    """
    result = dict(
        kind=kind,
        environment=environment,
        settings=settings,
        measured=measured,
    )
    return write_json(path, result)


def setting(*results: dict) -> str:
    """Return hardware, versions, dates and commits of results, in one line."""
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
    """Return the commit, and whether there was more to it."""
    return f'{environment["commit"]}{" with changes" * bool(environment["dirty"])}'


def load(name: str) -> dict:
    """Return one result."""
    return json.loads((RESULTS / f'{name}.json').read_text())
