"""What every benchmark writes beside its numbers, so that they can be met again."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
DISTRIBUTIONS = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmdet')


def environment() -> dict[str, Any]:
    """Commit, command, versions and hardware of this run."""
    owners = importlib.metadata.packages_distributions()
    names = {owners.get(name, [name])[0] for name in DISTRIBUTIONS}
    return {
        'date': date.today().isoformat(),
        'commit': git('rev-parse', '--short=12', 'HEAD'),
        'dirty': bool(git('status', '--porcelain', '--untracked-files=no')),
        'command': ' '.join(['python', *sys.argv]),
        'python': platform.python_version(),
        'versions': {name: importlib.metadata.version(name) for name in sorted(names)},
        'hardware': {
            'device': device_name(),
            'cores': len(os.sched_getaffinity(0)),
        },
    }


def device_name() -> str:
    """The accelerator, or the processor where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path('/proc/cpuinfo')
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def git(*arguments: str) -> str:
    """Output of a git command in the repository."""
    return subprocess.run(
        ['git', '-C', str(ROOT), *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def write(name: str, kind: str, settings: dict, measured: dict) -> Path:
    """Writes one result as ``benchmarks/results/<name>.json``, whole or not at all."""
    result = dict(
        kind=kind, environment=environment(), settings=settings, measured=measured
    )
    path = RESULTS / f'{name}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix('.tmp')
    draft.write_text(json.dumps(result, indent=2) + '\n')
    draft.replace(path)
    return path
