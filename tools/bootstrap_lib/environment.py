"""The Python environment that the set-up fills: where it is, what it has, its pip."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from .mmcv_wheel import cache_root
from .running import SetupError, exclusive, run_logged

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ((3, 10), (3, 14))  # oldest and newest that work
# Distributions by the line they belong to.
LINES = {
    'onedl': {'onedl-mmdetection', 'onedl-mmcv', 'onedl-mmengine'},
    'upstream': {'mmdet', 'mmcv', 'mmcv-lite', 'mmengine'},
}


class Environment:
    """The Python environment everything is installed into.

    Args:
        python: Its interpreter.
        own: Whether this set-up made it, so that broken packages may be swept away.
        lock_fd: The set-up lock, handed down to every command.
    """

    def __init__(self, python: Path, own: bool, lock_fd: int) -> None:
        self.python, self.own, self.lock_fd = python, own, lock_fd
        self.notes = python.parent.parent / '.mmdet_qrpaq'
        self.state = self.probe(heal=own)
        # Sweeping may have removed what another package counts on: let pip look again.
        self.redo = self.state['swept'] > 0

    def probe(self, heal: bool = False) -> dict:
        """Ask the environment what it has, see `probe.py`."""
        script = Path(__file__).with_name('probe.py')
        done = subprocess.run(
            [str(self.python), str(script), *(['--heal'] if heal else [])],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SetupError(f'{self.python} does not work: {done.stderr[-500:]}')
        self.state = json.loads(done.stdout)
        return self.state

    def has(self, requirements: list[str]) -> bool:
        """Tell whether distributions of these names are completely installed."""
        there = self.state['versions']
        return not self.redo and all(_name(r) in there for r in requirements)

    @property
    def line(self) -> str:
        """The line that is installed or, in an empty environment, asked for.

        Raises:
            SetupError: `LINE` names no line, another one than is installed, or one
                that this Python does not run.
        """
        asked = os.environ.get('LINE') or ''
        if asked and asked not in LINES:
            raise SetupError(f'LINE={asked} is unknown; use {" or ".join(LINES)}')
        there = [x for x in LINES if LINES[x] & self.state['versions'].keys()]
        if asked and there and asked not in there:
            raise SetupError(
                f'{self.python.parent.parent} holds the line {there[0]}, and the two '
                f'install the same modules; for LINE={asked} '
                + ('remove that folder' if self.own else 'activate another environment')
            )
        line = asked or (there or ['upstream'])[0]
        if line == 'upstream' and self.state['python'].startswith('3.14.'):
            raise SetupError(
                "OpenMMLab's mmengine calls pkgutil.find_loader, which Python 3.14 "
                'dropped; use LINE=onedl, or an older Python'
            )
        return line

    def pip(self, args: list[str], what: str) -> str:
        """Run pip with a live line and a log; raise `SetupError` if it fails."""
        if not os.access(self.notes.parent, os.W_OK):
            raise SetupError(
                f'{self.notes.parent} cannot be written; make a virtual environment '
                f"with '{self.python} -m venv FOLDER', activate it and try again"
            )
        log = self.notes / 'logs' / f'{what.split(" (")[0].replace(" ", "-")}.log'
        command = [str(self.python), '-m', 'pip', '--no-input', *args]
        env = {**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
        return run_logged(command, log, what, env=env, keep_fds=(self.lock_fd,))

    def uninstall(self, names: list[str]) -> None:
        """Remove those of the distributions that are there."""
        if there := [name for name in names if name in self.state['versions']]:
            self.pip(['uninstall', '-y', *there], f'removing {" and ".join(there)}')

    def ops_error(self) -> str:
        """Return why mmcv's compiled operators cannot be used just now."""
        return self.probe()['mmcv_ops_error']


def _name(requirement: str) -> str:
    for sign in '<>=![ ':
        requirement = requirement.split(sign)[0]
    return requirement.lower().replace('_', '-')


def environment_lock(prefix: str) -> AbstractContextManager[int]:
    """Let one set-up at a time work on an environment."""
    name = hashlib.sha256(prefix.encode()).hexdigest()[:16]
    return exclusive(cache_root() / 'locks' / f'{name}.lock', prefix)


def find_python() -> tuple[Path, bool]:
    """Return the interpreter to install into; tell if the environment is our own."""
    for variable in ('VIRTUAL_ENV', 'CONDA_PREFIX'):
        prefix = os.environ.get(variable)
        if prefix:
            python = Path(prefix) / 'bin' / 'python'
            if not python.exists():
                raise SetupError(
                    f'{variable} names {prefix}, which has no bin/python; '
                    f'deactivate it or unset {variable}'
                )
            return python, False
    return ROOT / '.venv' / 'bin' / 'python', True


def make_venv(python: Path) -> None:
    """Create `.venv`, or create it anew where a broken one stands."""
    first, last = PYTHONS
    test = f'import sys, pip; sys.exit(not {first} <= sys.version_info[:2] <= {last})'
    if python.exists():
        done = subprocess.run([str(python), '-c', test], capture_output=True)
        if not done.returncode:
            return
    venv = python.parent.parent
    print(f'      creating {venv} with {sys.executable}', flush=True)
    done = subprocess.run(
        [sys.executable, '-m', 'venv', '--clear', str(venv)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        raise SetupError(
            f'cannot create {venv}: {(done.stdout + done.stderr).strip()[-400:]} '
            '(Debian/Ubuntu: apt install python3-venv)'
        )
