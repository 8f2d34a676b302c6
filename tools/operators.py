#!/usr/bin/env python
"""Shows or changes what stands for mmcv's compiled operators in this environment.

    python tools/operators.py              # what is there
    python tools/operators.py standin      # nothing compiled: PyTorch stands in
    python tools/operators.py compiled     # a ready wheel, the cache, or compile them
    python tools/operators.py off          # take the stand-in away

Works on the environment of the Python that runs it.
"""

import argparse
import sys
from pathlib import Path

from bootstrap import run
from bootstrap_lib import packages, roads, standin_wheel
from bootstrap_lib.environment import Environment, environment_lock
from bootstrap_lib.running import SetupError


def change(action: str) -> None:
    """Do what was asked for and say what is there now.

    Raises:
        SetupError: It could not be done.
    """
    with environment_lock(sys.prefix) as lock_fd:
        env = Environment(Path(sys.executable), own=False, lock_fd=lock_fd)
        if action in roads.ROADS and not env.state['torch']['version']:
            raise SetupError("torch is missing here; 'pip install torch' first")
        if action == 'standin':
            roads.put_standin(env)
        elif action == 'compiled' and env.state['mmcv_ops_error']:
            packages.install_build_tools(env)
            roads.compile_operators(env)
        elif action == 'off':
            env.uninstall([standin_wheel.NAME])
        describe(env)


def describe(env: Environment) -> None:
    """Print one line."""
    state = env.probe()
    if state['standin']:
        print('mmcv is there; PyTorch stands in for its compiled operators')
    elif state['mmcv_ops_error']:
        print(f'the operators of mmcv cannot be used: {state["mmcv_ops_error"]}')
    else:
        print('mmcv is there with compiled operators')


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'action',
        nargs='?',
        default='status',
        choices=('status', *roads.ROADS, 'off'),
    )
    action = parser.parse_args().action
    run(lambda: change(action))


if __name__ == '__main__':
    main()
