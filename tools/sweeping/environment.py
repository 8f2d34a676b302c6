"""Where a number comes from: commit, command, versions and hardware.

Written into every record of a sweep and every result of `benchmarks/`.
"""

import os
import platform
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULES = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmdet')
# A result that is being written anew changes no code.
CODE = ('.', ':(exclude)benchmarks/results')


def describe_environment(device: str | None = None) -> dict[str, Any]:
    """Return commit, command, versions and hardware of this process.

    Args:
        device: ``'cpu'`` where a GPU is not to be used, be there one or not.

    Outside of a git checkout, `commit` and `dirty` are None; changes of
    `benchmarks/results` alone do not make a checkout dirty.
    """
    from mmdet_qrpaq.analysis.results import installed_versions

    commit = _git('rev-parse', '--short=12', 'HEAD')
    changes = _git('status', '--porcelain', '--untracked-files=no', '--', *CODE)
    return {
        'date': date.today().isoformat(),
        'commit': commit,
        'dirty': None if changes is None else bool(changes),
        'command': shlex.join(['python', *sys.argv]),
        'python': platform.python_version(),
        'versions': installed_versions(*MODULES),
        'hardware': {
            'device': device_name(device),
            'cores': len(os.sched_getaffinity(0)),
        },
    }


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
