"""Sets everything up, then runs a Python command in the environment it made.

    python3 tools/bootstrap.py                     # set up only
    python3 tools/bootstrap.py -m pytest           # set up, then run the tests

Needs Python 3.10-3.12, a C++ compiler and a package index. Uses the active virtual or
conda environment, else makes `.venv` in the project. What is there is not done again;
a set-up broken off half-way is mended by running it again.

TORCH_SPEC   what to install where torch is missing, for example
             'torch==2.6.0 --index-url https://download.pytorch.org/whl/cpu'
MAX_JOBS     compiler processes while mmcv is built (default: all cores)
"""

import sys

# Before anything an old Python could not even read.
if not (3, 10) <= sys.version_info[:2] <= (3, 12):
    sys.exit(
        f'set-up needs Python 3.10 to 3.12, but {sys.executable} is '
        f'{sys.version_info[0]}.{sys.version_info[1]}; name another one, for example '
        "'make demo PYTHON=python3.11'"
    )

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from bootstrap_lib.mmcv_wheel import MmcvInstaller, cache_root
from bootstrap_lib.running import SetupError, exclusive, run_logged

ROOT = Path(__file__).resolve().parent.parent
TORCH_SPEC = os.environ.get('TORCH_SPEC') or 'torch==2.13.0'
OLDEST_TORCH = (2, 1)
# Exact where upstream is frozen. setuptools 81 drops pkg_resources, which the build of
# mmcv and `mim` import.
BUILD_TOOLS = ['setuptools>=64,<81', 'wheel', 'ninja']
UPSTREAM = ['mmengine>=0.10,<1', 'mmdet==3.3.0']
# openmim asks for `opendatalab`, hence `openxlab`, which pins setuptools, packaging and
# rich to old versions and breaks the build of mmcv; only `mim download` uses it.
MIM = ['openmim==0.3.9']
MIM_NEEDS = ['click', 'colorama', 'model-index', 'pandas', 'requests', 'tabulate']
HASHED = ('mmdet_qrpaq', 'configs', 'tools', 'setup.py', 'model-index.yml')


class Environment:
    """The Python environment everything is installed into.

    Args:
        python: Its interpreter.
        own: Whether this set-up made it, so that broken packages may be swept away.
        lock_fd: The set-up lock, handed down to every command.
    """

    def __init__(self, python: Path, own: bool, lock_fd: int) -> None:
        self.python, self.lock_fd = python, lock_fd
        self.notes = python.parent.parent / '.mmdet_qrpaq'
        self.state = self.probe(heal=own)
        # Sweeping may have removed what another package counts on: let pip look again.
        self.redo = self.state['swept'] > 0

    def probe(self, heal: bool = False) -> dict:
        """Asks the environment what it has, see `bootstrap_lib/probe.py`."""
        script = ROOT / 'tools' / 'bootstrap_lib' / 'probe.py'
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
        """Whether distributions of these names are completely installed."""
        there = self.state['versions']
        return not self.redo and all(_name(r) in there for r in requirements)

    @property
    def has_onedl(self) -> bool:
        """Whether the OneDL forks are in; mmdet and mmcv are then the user's affair."""
        return 'onedl-mmdetection' in self.state['versions']

    def pip(self, args: list[str], what: str) -> str:
        """Runs pip with a live line and a log; raises `SetupError`."""
        log = self.notes / 'logs' / f'{what.split(" (")[0].replace(" ", "-")}.log'
        command = [str(self.python), '-m', 'pip', '--no-input', *args]
        env = {**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
        return run_logged(command, log, what, env=env, keep_fds=(self.lock_fd,))

    def ops_error(self) -> str:
        """Why mmcv cannot be used just now."""
        return self.probe()['mmcv_ops_error']


def _name(requirement: str) -> str:
    for sign in '<>=![ ':
        requirement = requirement.split(sign)[0]
    return requirement.lower().replace('_', '-')


def find_python() -> tuple[Path, bool]:
    """The interpreter to install into, and whether the environment is our own."""
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
    """Creates `.venv`, or creates it anew where a broken one stands."""
    test = 'import sys, pip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'
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


def install_torch(env: Environment) -> bool:
    """Installs torch where none can be imported; keeps a sufficiently new one."""
    torch, changed = env.state['torch'], False
    if not torch['version']:
        broken = 'torch' in env.state['versions']
        if broken:
            print(f'      the installed torch is broken ({torch["error"][:100]})')
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


def install_build_tools(env: Environment) -> bool:
    """setuptools with pkg_resources, wheel and ninja."""
    if env.has(BUILD_TOOLS) and env.state['pkg_resources']:
        return False
    env.pip(['install', *BUILD_TOOLS], 'installing build tools')
    return True


def install_upstream(env: Environment) -> bool:
    """mmengine and mmdet, unless the OneDL forks stand in for them."""
    if env.has_onedl or env.has(UPSTREAM):
        return False
    env.pip(['install', *UPSTREAM], 'installing mmengine and mmdet')
    return True


def install_mmcv(env: Environment) -> bool:
    """mmcv with compiled operators that fit the installed torch."""
    error = env.state['mmcv_ops_error']
    if not error:
        return False
    if env.has_onedl:
        raise SetupError(
            f'{error}, and the OneDL forks are installed here; mend it with '
            f"'{env.python} -m pip install --force-reinstall onedl-mmcv'"
        )
    logs = env.notes / 'logs'
    MmcvInstaller(env.python, env.state, env.pip, env.ops_error, logs).install()
    return True


def install_mim(env: Environment) -> bool:
    """`mim` without the dependency that would break the rest."""
    if env.has(['onedl-mim']) or env.has(MIM + MIM_NEEDS):
        return False
    env.pip(['install', *MIM_NEEDS], 'installing what mim needs')
    env.pip(['install', '--no-deps', *MIM], 'installing mim')
    return True


def source_hash() -> str:
    """Changes whenever a file changes that the installed project contains."""
    digest = hashlib.sha256()
    for entry in HASHED:
        path = ROOT / entry
        for file in [path] if path.is_file() else sorted(path.rglob('*')):
            parts = file.relative_to(ROOT).parts
            if file.is_file() and not {'__pycache__', '.mim'} & set(parts):
                digest.update('/'.join(parts).encode() + b'\0' + file.read_bytes())
    return digest.hexdigest()


def install_project(env: Environment) -> bool:
    """The project itself, not editable: `mim` finds only a plain install."""
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


STEPS = (
    ('PyTorch', install_torch),
    ('build tools', install_build_tools),
    ('mmengine and mmdet', install_upstream),
    ('mmcv with compiled operators', install_mmcv),
    ('mim', install_mim),
    ('mmdet_qrpaq and its test tools', install_project),
)


def set_up() -> Path:
    """Brings the environment up to date and returns its interpreter."""
    python, own = find_python()
    prefix = python.parent.parent
    lock_name = hashlib.sha256(str(prefix).encode()).hexdigest()[:16]
    with exclusive(cache_root() / 'locks' / f'{lock_name}.lock', str(prefix)) as fd:
        if own:
            make_venv(python)
        env = Environment(python, own, fd)
        if env.redo:
            print('mending a set-up that was broken off', flush=True)
        done = 0
        for number, (name, step) in enumerate(STEPS, 1):
            print(f'[{number}/{len(STEPS)}] {name}', flush=True)
            if step(env):
                done += 1
                env.probe()
        print(f'environment ready: {prefix}' + ('' if done else ' (nothing to do)'))
    return python


def main() -> None:
    """Sets up, then becomes the given Python command."""
    command = sys.argv[1:]
    if command[:1] in (['-h'], ['--help']):
        print(__doc__)
        return
    # `kill` shall end pip and compilers like Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        python = set_up()
    except SetupError as error:
        sys.exit(f'set-up stopped: {error}')
    except KeyboardInterrupt:
        sys.exit('\nset-up interrupted; the same command goes on where it stopped')
    if command:
        sys.stdout.flush()
        path = os.pathsep.join([str(python.parent), os.environ.get('PATH', '')])
        env = {**os.environ, 'PATH': path}  # so that `mim` is found
        os.execve(python, [str(python), *command], env)


if __name__ == '__main__':
    main()
