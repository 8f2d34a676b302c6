"""mmcv, by one of two roads: without its compiled operators, or with them.

Without them nothing is compiled: PyTorch stands in for what DETRs need (`mmcv_ext.py`).
That is the road where torch sees no GPU, or no CUDA toolkit could compile for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from . import standin_wheel
from .compiling import builds_cuda
from .environment import Environment
from .mmcv_wheel import MmcvInstaller
from .running import SetupError

ROADS = ('standin', 'compiled')
# Per line: mmcv's Python files alone, and the sources that are compiled.
PLAIN = {'upstream': ['mmcv-lite==2.1.0'], 'onedl': ['onedl-mmcv==2.3.6']}
SOURCES = {'upstream': ('mmcv', '2.1.0'), 'onedl': ('onedl-mmcv', '2.3.6')}


def choose_road(torch: dict) -> str:
    """Return the road of an environment: what `OPERATORS` says, else by its torch.

    Args:
        torch: The probe's entry: `cuda` says whether it sees a GPU.

    Raises:
        SetupError: `OPERATORS` names no road.
    """
    asked = os.environ.get('OPERATORS')
    if asked and asked not in ROADS:
        raise SetupError(f'OPERATORS={asked} is unknown; use {" or ".join(ROADS)}')
    return asked or ('compiled' if builds_cuda(torch) and find_nvcc() else 'standin')


def find_nvcc() -> str | None:
    """Look for the CUDA compiler where torch's builds do."""
    home = os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH')
    folders = [home, '/usr/local/cuda'] if home else ['/usr/local/cuda']
    places = [os.environ.get('PATH', ''), *(f'{folder}/bin' for folder in folders)]
    return shutil.which('nvcc', path=os.pathsep.join(places))


def install_mmcv(env: Environment) -> bool:
    """Install mmcv by the chosen road, unless it is there already and works.

    Nobody has to have a compiler: where compiling was not asked for and fails, PyTorch
    stands in.
    """
    asked = bool(os.environ.get('OPERATORS'))
    if not env.state['mmcv_ops_error']:
        return False
    if env.state['standin'] and not asked and not env.redo:
        return False
    if choose_road(env.state['torch']) == 'compiled':
        try:
            compile_operators(env)
            return True
        except SetupError as error:
            if asked:
                raise
            print(
                f'      {error}\n      so PyTorch stands in for the operators of mmcv'
            )
    return put_standin(env)


def compile_operators(env: Environment) -> None:
    """Get compiled operators, in place of the stand-in.

    Raises:
        SetupError: They cannot be had; a stand-in that was there is there again.
    """
    had_standin = env.state['standin']
    replaced = ['mmcv-lite', standin_wheel.NAME]
    installer = MmcvInstaller(env, *SOURCES[env.line], replaced)
    try:
        installer.install()
    finally:
        if had_standin and env.ops_error() and not env.state['standin']:
            put_standin(env)


def put_standin(env: Environment) -> bool:
    """Put mmcv's Python files and the stand-in in place; False if they are there."""
    if env.state['standin'] and not env.redo:
        return False
    if env.state['torch']['cuda'] and not find_nvcc():
        print(
            '      note: torch sees a GPU, but there is no nvcc to compile mmcv with; '
            'deformable attention will run through PyTorch, slower and with more '
            'memory. With the CUDA toolkit, OPERATORS=compiled compiles it.'
        )
    with tempfile.TemporaryDirectory() as folder:
        # Fetched before anything goes. OneDL offers no package without operators, but
        # pip builds its sources apart from the environment, where there is no torch;
        # and then they compile nothing.
        fetch = ['wheel', '--no-deps', '--no-cache-dir', '-w', folder]
        env.pip([*fetch, *PLAIN[env.line]], 'fetching mmcv without operators')
        plain = str(next(Path(folder).glob('*.whl')))
        # A build that does not work here, or one distribution's files below another's.
        env.uninstall([standin_wheel.NAME, 'mmcv', 'mmcv-lite', 'onedl-mmcv'])
        env.pip(['install', plain], 'installing mmcv without operators')
        if env.ops_error():
            wheel = str(standin_wheel.write_wheel(Path(folder)))
            env.pip(['install', '--no-deps', wheel], 'putting the stand-in in place')
            env.probe()
    if env.state['mmcv_ops_error'] and not env.state['standin']:
        raise SetupError(f'mmcv was installed, but: {env.state["mmcv_ops_error"]}')
    return True
