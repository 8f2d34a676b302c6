"""Where a number comes from: command, commit, versions, hardware and inputs.

The same record stands in every result: of an analysis, of a run of a sweep, of a
benchmark.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from ..version import __version__

ROOT = Path(__file__).resolve().parents[2]
MODULES = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmdet')
# A result that is being written anew changes no code.
CODE = ('.', ':(exclude)benchmarks/results')
# When and how a result was made, not from what.
CIRCUMSTANCES = ('command', 'date', 'dirty')


def describe_environment(device: str | None = None) -> dict[str, Any]:
    """Return commit, command, versions and hardware of this process.

    Outside of a git checkout, `commit` and `dirty` are None; changes of
    `benchmarks/results` alone do not make a checkout dirty.

    Args:
        device: `'cpu'` where a GPU is not to be used, be there one or not.
    """
    commit = _git('rev-parse', '--short=12', 'HEAD')
    changes = _git('status', '--porcelain', '--untracked-files=no', '--', *CODE)
    return {
        'date': date.today().isoformat(),
        'commit': commit,
        'dirty': None if changes is None else bool(changes),
        'command': typed_command(),
        'python': platform.python_version(),
        'versions': dict(installed_versions(*MODULES), mmdet_qrpaq=__version__),
        'hardware': {
            'device': device_name(device),
            'cores': len(os.sched_getaffinity(0)),
        },
    }


def typed_command() -> str:
    """Return what starts this process again."""
    return shlex.join(['python', *sys.argv])


def is_same_origin(kept: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Tell whether a kept result has this origin; time and command may differ."""
    return all(
        kept.get(key) == wanted.get(key)
        for key in kept.keys() | wanted.keys()
        if key not in CIRCUMSTANCES
    )


def hash_text(text: str, digits: int = 12) -> str:
    """Return the first digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def hash_file(path: Path, digits: int = 12) -> str:
    """Return the first digits of the SHA-256 of a file."""
    total = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()[:digits]


@functools.cache
def installed_versions(*modules: str) -> dict[str, str]:
    """Return versions by the distributions, upstream's or forks, that have modules."""
    owners = importlib.metadata.packages_distributions()
    names = {owner for name in modules for owner in owners.get(name, [name])}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def device_name(device: str | None = None) -> str:
    """Return the accelerator's name, or the processor's where none is used."""
    import torch

    if device != 'cpu' and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path('/proc/cpuinfo')
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    """Return the output of a git command on this checkout, None if it is none."""
    # An installed copy may lie in somebody else's repository.
    if not (ROOT / '.git').exists():
        return None
    try:
        done = subprocess.run(
            ['git', '-C', str(ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
