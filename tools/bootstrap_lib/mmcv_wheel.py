"""Gets mmcv with compiled operators: a ready wheel, the user's cache, or a build.

There is no published mmcv wheel for current torch, so the first set-up on a machine
compiles it. The wheel is kept in the user's cache folder under everything its binary
depends on, and the half-compiled tree too: a build broken off goes on where it stopped.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from .running import SetupError, clock, exclusive, last_line, run_logged

MMCV_VERSION = '2.1.0'
CXX_PROBE = '#include <Python.h>\n#include <vector>\nint main() { return 0; }\n'


def cache_root() -> Path:
    """The user's cache folder of this project."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base).expanduser() / 'mmdet_qrpaq'


def cache_key(torch: dict, python: str) -> str:
    """Names everything the compiled wheel depends on.

    torch's local version (``+cpu``, ``+cu130``) is part of its version; whether CUDA
    kernels were compiled is not, hence ``ops-cuda`` and ``ops-cpu``.

    Args:
        torch: The probe's entry: ``version`` and ``cuda``.
        python: ``3.11.7``; only the first two numbers matter to the binary.
    """
    tag = 'py' + ''.join(python.split('.')[:2])
    system = f'{platform.system()}-{platform.machine()}'.lower()
    ops = 'ops-cuda' if builds_cuda(torch) else 'ops-cpu'
    return f'{MMCV_VERSION}-torch{torch["version"]}-{tag}-{system}-{ops}'


def builds_cuda(torch: dict) -> bool:
    """Whether mmcv's own setup will compile CUDA kernels."""
    return bool(torch['cuda']) or os.environ.get('FORCE_CUDA', '0') == '1'


def usable_cores() -> int:
    """Cores this process may use; macOS does not tell an affinity."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_compiler(python: Path) -> None:
    """Refuses to start a long build that cannot end well.

    Raises:
        SetupError: No working C++ compiler, or no Python headers.
    """
    compiler = os.environ.get('CXX', 'c++')
    if not shutil.which(compiler.split()[0]):
        raise SetupError(
            f"mmcv must be compiled, but the C++ compiler '{compiler}' was not found; "
            'install one (Debian/Ubuntu: apt install g++, macOS: xcode-select '
            '--install) and run the same command again'
        )
    include = subprocess.run(
        [str(python), '-c', 'import sysconfig as s; print(s.get_path("include"))'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    tried = subprocess.run(
        [*compiler.split(), '-std=c++17', f'-I{include}']
        + ['-fsyntax-only', '-xc++', '-'],
        input=CXX_PROBE,
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        error = next((x for x in tried.stderr.splitlines() if 'error' in x), '').strip()
        raise SetupError(
            f"mmcv must be compiled, but '{compiler}' cannot compile an extension of "
            f'Python ({error}); install a C++17 compiler and the Python headers (on '
            'Debian: apt install g++ python3-dev) and run the same command again'
        )


def describe_build(log_end: str, elapsed: float) -> str:
    """The live line of a build, from ninja's last ``[i/n]``."""
    counts = re.findall(r'^\s*\[(\d+)/(\d+)\]', log_end, re.MULTILINE)
    if not counts:
        return f'preparing: {last_line(log_end)}'
    done, total = map(int, counts[-1])
    rest = f', about {clock(elapsed * (total - done) / done)} left' if done > 9 else ''
    return f'compiling mmcv {done}/{total} ({100 * done // total} %){rest}'


class MmcvInstaller:
    """Installs mmcv into an environment by the cheapest way that works there.

    Args:
        python: The environment's interpreter.
        state: What `probe.py` says about it.
        pip: Runs pip with arguments and a description, raising `SetupError`.
        ops_error: Asks the environment anew why mmcv cannot be used ('' if it can).
        log_dir: Folder of the logs.
    """

    def __init__(
        self,
        python: Path,
        state: dict,
        pip: Callable[[list[str], str], str],
        ops_error: Callable[[], str],
        log_dir: Path,
        distribution: str = 'mmcv',
        version: str = MMCV_VERSION,
    ) -> None:
        self.python, self.state, self.log_dir = python, state, log_dir
        self.pip, self.ops_error = pip, ops_error
        self.key = cache_key(state['torch'], state['python'])
        self.wheel_dir = cache_root() / 'wheels' / self.key

    def install(self) -> None:
        """Tries a ready wheel, then the cache, then builds and fills the cache."""
        if self._from_index() or self._from_cache():
            return
        # Two checkouts may set up at once; the second finds the first one's wheel.
        lock = cache_root() / 'locks' / f'{self.key}.lock'
        with exclusive(lock, f'the mmcv build in {cache_root()}') as fd:
            if not self._from_cache():
                self._build(fd)

    def _try(self, wheel: Path, origin: str) -> bool:
        args = ['install', '--no-deps', '--force-reinstall', str(wheel)]
        self.pip(args, f'installing mmcv from {origin}')
        error = self.ops_error()
        if error:
            print(f'      the wheel from {origin} is no use here: {error}')
            self.pip(['uninstall', '-y', 'mmcv'], 'removing that mmcv')
        return not error

    def _from_index(self) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            try:
                self.pip(
                    ['download', '--no-deps', '--only-binary=mmcv', '-d', folder]
                    + [f'mmcv=={MMCV_VERSION}'],
                    'looking for a ready mmcv wheel',
                )
            except SetupError:
                return False  # The usual case: the index has the sources only.
            return self._try(next(Path(folder).glob('*.whl')), 'the package index')

    def _from_cache(self) -> bool:
        for wheel in self.wheel_dir.glob('*.whl'):
            try:
                if self._try(wheel, f'the cache ({wheel})'):
                    return True
            except SetupError as error:
                if zipfile.is_zipfile(wheel):
                    raise  # no fault of the wheel: a new one would fail as well
                print(f'      {error}')
            wheel.unlink()
        return False

    def _build(self, lock_fd: int) -> None:
        check_compiler(self.python)
        resumed, source = self._unpacked_source()
        out = source.parent / 'out'
        shutil.rmtree(out, ignore_errors=True)
        jobs = os.environ.get('MAX_JOBS') or str(usable_cores())
        print(
            '      no ready wheel for torch '
            f'{self.state["torch"]["version"]}: compiling it once, with {jobs} jobs '
            '(about 35 core minutes)',
            flush=True,
        )
        bin_dir = str(self.python.parent)  # where pip put ninja
        env = {
            **os.environ,
            'MAX_JOBS': jobs,
            'MMCV_WITH_OPS': '1',
            'PATH': os.pathsep.join([bin_dir, os.environ.get('PATH', '')]),
        }
        try:
            run_logged(
                [str(self.python), '-m', 'pip', 'wheel', '-v', '--no-build-isolation']
                + ['--no-deps', '--no-cache-dir', '-w', str(out), str(source)],
                self.log_dir / 'mmcv-build.log',
                'compiling mmcv',
                env=env,
                describe=describe_build,
                keep_fds=(lock_fd,),
            )
        except SetupError:
            if resumed:  # what was there may be the cause: start afresh next time
                shutil.rmtree(source.parent, ignore_errors=True)
            raise
        wheel = next(out.glob('*.whl'))
        if not self._try(wheel, 'the build'):
            raise SetupError(
                'mmcv was compiled but its operators do not load, see '
                f'{self.log_dir / "mmcv-build.log"}; is CUDA visible to torch and nvcc?'
            )
        self.wheel_dir.mkdir(parents=True, exist_ok=True)
        # One rename in one file system: the cache never shows half a wheel.
        os.replace(wheel, self.wheel_dir / wheel.name)
        shutil.rmtree(source.parent, ignore_errors=True)

    def _unpacked_source(self) -> tuple[bool, Path]:
        """Whether an earlier attempt left its tree for ninja to go on, and the tree."""
        work = cache_root() / 'build' / self.key
        source = work / f'mmcv-{MMCV_VERSION}'
        if source.exists():
            print(f'      going on with the build in {source}', flush=True)
            return True, source
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        self.pip(
            ['download', '--no-deps', '--no-binary=mmcv', '--no-build-isolation']
            + ['-d', str(work), f'mmcv=={MMCV_VERSION}'],
            'fetching the mmcv sources',
        )
        fresh = Path(tempfile.mkdtemp(dir=work))
        with tarfile.open(next(work.glob('mmcv-*.tar.gz'))) as archive:
            # Early 3.10 and 3.11 releases do not know filters.
            safe = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}
            archive.extractall(fresh, **safe)
        os.replace(fresh / source.name, source)  # complete or absent
        return False, source
