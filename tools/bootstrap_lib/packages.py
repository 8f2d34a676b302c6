"""What is installed, step by step; a step returns whether it changed something."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from .environment import ROOT, Environment
from .running import SetupError, run_logged

TORCH_SPEC = os.environ.get('TORCH_SPEC') or 'torch==2.13.0'
TORCH_WITHOUT_CUDA = (
    "TORCH_SPEC='torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu'"
)
CUDA_NOTE = (
    'no NVIDIA driver, torch from PyPI brings CUDA, several GB. Ctrl-C, and '
    f'{TORCH_WITHOUT_CUDA} before the same command, take one without.'
)
OLDEST_TORCH = (2, 1)
# mmengine, mim and the build of mmcv import pkg_resources, which setuptools 81 drops.
BUILD_TOOLS = ['setuptools>=64,<81', 'wheel', 'ninja']
# Exact where upstream is frozen; within the windows of `_compat.py`.
FRAMEWORK = {
    'upstream': ['mmengine>=0.10,<1', 'mmdet==3.3.0'],
    'onedl': ['onedl-mmengine>=0.10.12,<1', 'onedl-mmdetection>=3.5.1,<3.6'],
}
# openmim asks for `opendatalab`, hence `openxlab`, which pins setuptools, packaging and
# rich to old versions and breaks the build of mmcv; only `mim download` uses it.
MIM = ['openmim==0.3.9']
MIM_NEEDS = ['click', 'colorama', 'model-index', 'pandas', 'requests', 'tabulate']
HASHED = ('mmdet_qrpaq', 'configs', 'tools', 'setup.py', 'model-index.yml')


def install_torch(env: Environment) -> bool:
    """Install torch where none can be imported; keep a sufficiently new one."""
    torch, changed = env.state['torch'], False
    if not torch['version']:
        broken = 'torch' in env.state['versions']
        if broken:
            print(f'      the installed torch is broken ({torch["error"][:100]})')
        warn_of_cuda_download(env)
        force = ['--force-reinstall'] if broken else []
        env.pip(['install', *force, *shlex.split(TORCH_SPEC)], 'installing torch')
        torch, changed = env.probe()['torch'], True
        if not torch['version']:
            raise SetupError(f'torch was installed but fails: {torch["error"]}')
    if tuple(int(x) for x in torch['version'].split('.')[:2]) < OLDEST_TORCH:
        raise SetupError(
            f'torch {torch["version"]} is too old, 2.1 or newer is needed; run '
            f"'{env.python} -m pip install {TORCH_SPEC}' or leave that environment"
        )
    return changed


def has_nvidia_driver() -> bool:
    """Tell whether CUDA could be of use on this machine."""
    return Path('/dev/nvidiactl').exists() or bool(shutil.which('nvidia-smi'))


def warn_of_cuda_download(env: Environment) -> None:
    """Say so if pip would fetch CUDA for a machine without an NVIDIA driver."""
    if has_nvidia_driver():
        return
    pip = env.state['versions'].get('pip', '0').split('.')
    if tuple(map(int, pip[:2])) < (23, 3):  # would fetch it all in order to tell
        if 'TORCH_SPEC' not in os.environ and sys.platform == 'linux':
            print(f'      note: for this machine, which has {CUDA_NOTE}', flush=True)
        return
    print('      asking pip what torch brings along', flush=True)
    report = env.notes / 'torch-report.json'
    report.parent.mkdir(parents=True, exist_ok=True)
    options = ['install', '--dry-run', '--quiet', '--report', str(report)]
    command = [str(env.python), '-m', 'pip', '--no-input', *options]
    done = subprocess.run([*command, *shlex.split(TORCH_SPEC)], capture_output=True)
    if done.returncode:
        return  # the installation will say what is wrong
    entries = json.loads(report.read_text())['install']
    report.unlink()
    names = [entry['metadata']['name'].lower() for entry in entries]
    if cuda := [name for name in names if name.startswith('nvidia-')]:
        print(f'      note: {len(cuda)} CUDA packages for a machine with {CUDA_NOTE}')


def install_build_tools(env: Environment) -> bool:
    """Install setuptools with pkg_resources, wheel and ninja."""
    if env.has(BUILD_TOOLS) and env.state['pkg_resources']:
        return False
    env.pip(['install', *BUILD_TOOLS], 'installing build tools')
    return True


def install_framework(env: Environment) -> bool:
    """Install mmengine and mmdet of the line."""
    if env.has(FRAMEWORK[env.line]):
        return False
    env.pip(['install', *FRAMEWORK[env.line]], 'installing mmengine and mmdet')
    return True


def install_mim(env: Environment) -> bool:
    """Install `mim` without the dependency that would break the rest."""
    if env.has(['onedl-mim']) or env.has(MIM + MIM_NEEDS):
        return False
    env.pip(['install', *MIM_NEEDS], 'installing what mim needs')
    env.pip(['install', '--no-deps', *MIM], 'installing mim')
    return True


def source_hash() -> str:
    """Return what changes whenever a file that the installed project contains does."""
    digest = hashlib.sha256()
    for entry in HASHED:
        path = ROOT / entry
        for file in [path] if path.is_file() else sorted(path.rglob('*')):
            parts = file.relative_to(ROOT).parts
            if file.is_file() and not {'__pycache__', '.mim'} & set(parts):
                digest.update('/'.join(parts).encode() + b'\0' + file.read_bytes())
    return digest.hexdigest()


def install_project(env: Environment) -> bool:
    """Install the project itself, not editable: `mim` finds only a plain install."""
    stamp, wanted = env.notes / 'installed-sources', source_hash()
    current = stamp.exists() and stamp.read_text() == wanted
    if current and env.has(['mmdet_qrpaq']):
        return False
    stamp.unlink(missing_ok=True)
    # Without isolation: the build tools are there, and the index need not be asked.
    target = f'{ROOT}[test]'
    env.pip(['install', '--no-build-isolation', target], 'installing mmdet_qrpaq')
    # Left by the build. The metadata would hide the installed one from `python -m mim`.
    for leftover in ('build', 'mmdet_qrpaq.egg-info'):
        shutil.rmtree(ROOT / leftover, ignore_errors=True)
    # In a neutral folder, so that the installed copy is imported, not the sources.
    run_logged(
        [str(env.python), '-c', 'import mmdet_qrpaq'],
        env.notes / 'logs' / 'importing.log',
        'importing the installed mmdet_qrpaq',
        cwd=env.notes,
    )
    stamp.write_text(wanted)
    return True
