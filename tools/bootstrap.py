"""Sets everything up, then runs a Python command in the environment it made.

    python3 tools/bootstrap.py                     # set up only
    python3 tools/bootstrap.py -m pytest           # set up, then run the tests

Needs Python 3.10-3.14 and a package index; a C++ compiler only for OPERATORS=compiled.
Uses the active virtual or conda environment, else makes `.venv` in the project. What is
there is not done again; a set-up broken off half-way is mended by running it again.

LINE         upstream (default), or onedl: the maintained forks of mmengine, mmcv, mmdet
OPERATORS    standin: PyTorch stands in for mmcv's operators, nothing is compiled
             (default without CUDA); compiled: all of them (default with CUDA and nvcc)
TORCH_SPEC   what to install where torch is missing, for example
             'torch==2.6.0 --index-url https://download.pytorch.org/whl/cpu'
MAX_JOBS     compiler processes while mmcv is built (default: one a core, as far as
             memory goes)
"""

import sys

# Before anything an old Python could not even read.
if not (3, 10) <= sys.version_info[:2] <= (3, 14):
    sys.exit(
        f'set-up needs Python 3.10 to 3.14, but {sys.executable} is '
        f'{sys.version_info[0]}.{sys.version_info[1]}; name another one, for example '
        "'make demo PYTHON=python3.11'"
    )

import os
import signal
from collections.abc import Callable
from pathlib import Path

from bootstrap_lib import packages, roads
from bootstrap_lib.environment import (
    Environment,
    environment_lock,
    find_python,
    make_venv,
)
from bootstrap_lib.running import SetupError

STEPS = (
    ('PyTorch', packages.install_torch),
    ('build tools', packages.install_build_tools),
    ('mmengine and mmdet', packages.install_framework),
    ('mmcv', roads.install_mmcv),
    ('mim', packages.install_mim),
    ('mmdet_qrpaq and its test tools', packages.install_project),
)


def set_up() -> Path:
    """Bring the environment up to date and return its interpreter."""
    python, own = find_python()
    prefix = python.parent.parent
    with environment_lock(str(prefix)) as fd:
        if own:
            make_venv(python)
        env = Environment(python, own, fd)
        if env.redo:
            print('mending a set-up that was broken off', flush=True)
        line, done = env.line, 0
        for number, (name, step) in enumerate(STEPS, 1):
            print(f'[{number}/{len(STEPS)}] {name}', flush=True)
            if step(env):
                done += 1
                env.probe()
        how = 'PyTorch stands in for' if env.state['standin'] else 'compiled'
        print(
            f'environment ready: {prefix} ({line}; {how} operators of mmcv)'
            + ('' if done else ' (nothing to do)')
        )
    return python


def run(work: Callable[[], Path | None]) -> Path | None:
    """Do a part of the set-up; end with a sentence if it cannot go on."""
    # `kill` shall end pip and compilers like Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return work()
    except SetupError as error:
        sys.exit(f'set-up stopped: {error}')
    except KeyboardInterrupt:
        sys.exit('\nset-up interrupted; the same command goes on where it stopped')


def main() -> None:
    """Set up, then become the given Python command."""
    command = sys.argv[1:]
    if command[:1] in (['-h'], ['--help']):
        print(__doc__)
        return
    python = run(set_up)
    if command:
        sys.stdout.flush()
        path = os.pathsep.join([str(python.parent), os.environ.get('PATH', '')])
        env = {**os.environ, 'PATH': path}  # so that `mim` is found
        os.execve(python, [str(python), *command], env)


if __name__ == '__main__':
    main()
