"""Gets mmcv with compiled operators: a ready wheel, the user's cache, or a build.

There is no published mmcv wheel for current torch, so the first set-up on a machine
compiles it, many sources in one (see `unity.py`). The wheel is kept in the user's cache
folder under everything its binary depends on, and the half-compiled tree too: a build
broken off goes on where it stopped.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .compiling import (
    build_environment,
    check_compiler,
    cuda_cards,
    default_jobs,
    describe_build,
    wheel_command,
)
from .running import SetupError, exclusive, run_logged
from .unity import group_sources, is_grouped

if TYPE_CHECKING:
    from .environment import Environment

MMCV_VERSION = '2.1.0'


def cache_root() -> Path:
    """Return the user's cache folder of this project."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base).expanduser() / 'mmdet_qrpaq'


def file_stem(name: str, version: str) -> str:
    """Return how the file names of a distribution begin: `onedl_mmcv-2.3.6`."""
    return f'{name.replace("-", "_")}-{version}'


def cache_key(stem: str, torch: dict, python: str, cards: str) -> str:
    """Name everything the compiled wheel depends on.

    torch's local version (`+cpu`, `+cu130`) is part of its version; whether CUDA
    kernels were compiled, and for which cards, is not.

    Args:
        stem: What `file_stem` tells.
        torch: The probe's entry: `version` and `cuda`.
        python: `3.11.7`; only the first two numbers matter to the binary.
        cards: What `cuda_cards` tells; empty where no kernels are compiled.
    """
    tag = 'py' + ''.join(python.split('.')[:2])
    system = f'{platform.system()}-{platform.machine()}'.lower()
    ops = '-'.join(['ops-cuda', *re.findall(r'[\w.+]+', cards)]) if cards else 'ops-cpu'
    return f'{stem}-torch{torch["version"]}-{tag}-{system}-{ops}'


def unpack(
    pip: Callable[[list[str], str], str],
    name: str,
    version: str,
    work: Path,
    grouped: bool,
) -> Path:
    """Fetch the sources afresh and return their tree, which is complete or absent.

    Args:
        pip: Runs pip with arguments and a description, raising `SetupError`.
        name: Distribution, as `onedl-mmcv`.
        version: Its version.
        work: Folder for the tree; what is in it is lost.
        grouped: Whether to prepare it for a build in few units.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    pip(
        ['download', '--no-deps', f'--no-binary={name}', '--no-build-isolation']
        + ['-d', str(work), f'{name}=={version}'],
        f'fetching the {name} sources',
    )
    tree, fresh = work / file_stem(name, version), Path(tempfile.mkdtemp(dir=work))
    with tarfile.open(f'{tree}.tar.gz') as archive:
        # Early 3.10 and 3.11 releases do not know filters.
        safe = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}
        archive.extractall(fresh, **safe)
    if grouped:
        group_sources(fresh / tree.name)
    os.replace(fresh / tree.name, tree)
    return tree


class MmcvInstaller:
    """Installs mmcv into an environment by the cheapest way that works there.

    Args:
        env: What is installed into.
        name: Distribution to install.
        version: Its version.
        replaced: Distributions whose files lie where its own will, or that stand in
            for some of them; removed before it is installed.

    Raises:
        SetupError: CUDA kernels are asked for, but nothing says for which card.
    """

    def __init__(
        self, env: Environment, name: str, version: str, replaced: Sequence[str] = ()
    ) -> None:
        self.env, self.pip, self.torch = env, env.pip, env.state['torch']
        self.replaced = [x for x in replaced if x in env.state['versions']]
        self.name, self.version, self.stem = name, version, file_stem(name, version)
        cards = cuda_cards(env.python, self.torch)
        self.key = cache_key(self.stem, self.torch, env.state['python'], cards)
        self.wheel_dir = cache_root() / 'wheels' / self.key

    def install(self) -> None:
        """Try a ready wheel, then the cache, then build and fill the cache."""
        if self._from_index() or self._from_cache():
            return
        # Two checkouts may set up at once; the second finds the first one's wheel.
        lock = cache_root() / 'locks' / f'{self.key}.lock'
        with exclusive(lock, f'the mmcv build in {cache_root()}') as fd:
            if not self._from_cache():
                self._build(fd)

    def _try(self, wheel: Path, origin: str) -> bool:
        if self.replaced:
            self.pip(['uninstall', '-y', *self.replaced], 'removing what it replaces')
            self.replaced = []
        args = ['install', '--no-deps', '--force-reinstall', str(wheel)]
        self.pip(args, f'installing {self.name} from {origin}')
        error = self.env.ops_error()
        if error:
            print(f'      the wheel from {origin} is no use here: {error}')
            self.pip(['uninstall', '-y', self.name], f'removing that {self.name}')
        return not error

    def _from_index(self) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            try:
                self.pip(
                    ['download', '--no-deps', f'--only-binary={self.name}']
                    + ['-d', folder, f'{self.name}=={self.version}'],
                    f'looking for a ready {self.name} wheel',
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
        check_compiler(self.env.python)
        work = cache_root() / 'build' / self.key
        source, grouped = work / self.stem, True
        while True:
            resumed = source.exists()
            if resumed:  # an earlier attempt left its tree for ninja to go on
                print(f'      going on with the build in {source}', flush=True)
                grouped = is_grouped(source)
            else:
                unpack(self.pip, self.name, self.version, work, grouped)
            stem = 'mmcv-build' if grouped else 'mmcv-build-by-file'
            log = self.env.notes / 'logs' / f'{stem}.log'
            try:
                wheel = self._compile(source, grouped, log, lock_fd)
                break
            except SetupError:
                if not grouped:
                    if resumed:  # what was there may be the cause
                        shutil.rmtree(work, ignore_errors=True)
                    raise
            shutil.rmtree(work, ignore_errors=True)
            # A fresh tree fails because the sources do not go together here.
            grouped = resumed
            how = 'once more from the start' if grouped else 'file by file'
            print(f'      that build failed (see {log}); now {how}', flush=True)
        if not self._try(wheel, 'the build'):
            raise SetupError(
                'mmcv was compiled but its operators do not load, see '
                f'{log}; is CUDA visible to torch and nvcc?'
            )
        self.wheel_dir.mkdir(parents=True, exist_ok=True)
        # One rename in one file system: the cache never shows half a wheel.
        os.replace(wheel, self.wheel_dir / wheel.name)
        shutil.rmtree(work, ignore_errors=True)

    def _compile(self, source: Path, grouped: bool, log: Path, lock_fd: int) -> Path:
        """Build the wheel of a source tree; raise `SetupError` if that fails."""
        jobs = os.environ.get('MAX_JOBS') or str(default_jobs())
        print(
            f'      no ready wheel for torch {self.torch["version"]}: compiling it '
            f'once, with {jobs} jobs (about {3 if grouped else 30} core minutes, '
            'CUDA kernels not counted)',
            flush=True,
        )
        out = source.parent / 'out'
        shutil.rmtree(out, ignore_errors=True)
        run_logged(
            wheel_command(self.env.python, source, out),
            log,
            f'compiling {self.name}',
            env=build_environment(self.env.python, jobs),
            describe=describe_build,
            keep_fds=(lock_fd,),
        )
        return next(out.glob('*.whl'))
