"""The build of mmcv in groups, and what happens if it fails or is broken off.

Builds a stand-in with the layout of mmcv's sources, in a second or two.
"""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from bootstrap_lib import compiling, mmcv_wheel, running, unity

SETUP = """
from glob import glob
from setuptools import Extension, setup
sources = glob('./mmcv/ops/csrc/pytorch/*.cpp')
sources += glob('./mmcv/ops/csrc/pytorch/cpu/*.cpp')
include = ['mmcv/ops/csrc/common']
extension = Extension('mmcv._ext', sources, include, language='c++')
setup(name=%r, version=%r, packages=['mmcv'], ext_modules=[extension])
"""
# `ops` can only be right if each file kept its own `helper`.
MODULE = """
#include <Python.h>
int one(); int two(); int three();
static PyObject* ops(PyObject*, PyObject*) {
  return PyLong_FromLong(one() * 100 + two() * 10 + three());
}
static PyMethodDef methods[] = {{"ops", ops, METH_NOARGS, ""}, {0, 0, 0, 0}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ext", "", -1, methods};
PyMODINIT_FUNC PyInit__ext(void) { return PyModule_Create(&module); }
"""
STAND_IN = {
    'common/helper.hpp': '#pragma once\ninline int shared() { return 1; }\n',
    'local.h': '#define LOCAL 2\n',
    'pytorch/module.cpp': MODULE,
    'pytorch/cpu/one.cpp': '#include "helper.hpp"\n'
    'static int helper() { return shared(); }\nint one() { return helper(); }\n',
    'pytorch/cpu/two.cpp': '#include "helper.hpp"\n#include "../../local.h"\n'
    'static int helper() { return shared() * LOCAL; }\n'
    'int two() { return helper(); }\n',
    'pytorch/three.cpp': 'int three() { return 3; }\n',
}


UNITS = ['unit_1.cpp', 'unit_2.cpp']


def write_tree(folder):
    for name, text in STAND_IN.items():
        path = folder / unity.CSRC / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


class Bench:
    """An installer of the stand-in, its compiler, and what was compiled."""

    def __init__(self, folder, monkeypatch, name='mmcv', version='2.1.0'):
        try:
            compiling.check_compiler(Path(sys.executable))
        except running.SetupError as error:
            pytest.skip(str(error))
        self.folder, self.name, self.version = folder, name, version
        self.installed = None
        monkeypatch.setenv('XDG_CACHE_HOME', str(folder / 'cache'))
        for variable in ('CFLAGS', 'CXXFLAGS', 'CPPFLAGS', 'FORCE_CUDA'):
            monkeypatch.delenv(variable, raising=False)
        for variable in ('CC', 'CXX'):
            monkeypatch.setenv(variable, str(folder / 'compiler'))
        self.compiler('')

    def compiler(self, first, source='unit_1.cpp'):
        """Makes the compiler do something first where it gets a source of that name."""
        compiler = self.folder / 'compiler'
        compiler.write_text(
            f'#!/bin/sh\necho "$@" >> {self.folder}/calls\n'
            f'case "$*" in *{source}*) :; {first} ;; esac\nexec c++ "$@"\n'
        )
        compiler.chmod(0o755)

    def compiled(self):
        """Names of the sources compiled so far."""
        calls = (self.folder / 'calls').read_text().splitlines()
        return [
            Path(x).name for call in calls for x in call.split() if x[-4:] == '.cpp'
        ]

    def pip(self, args, what):
        if f'--only-binary={self.name}' in args:
            raise running.SetupError('no wheel')
        if f'--no-binary={self.name}' in args:
            assert f'{self.name}=={self.version}' in args
            self.sdist(Path(args[args.index('-d') + 1]))
        if args[0] == 'install':
            self.installed = Path(args[-1]).read_bytes()

    def sdist(self, out):
        stem = f'{self.name.replace("-", "_")}-{self.version}'
        tree = write_tree(self.folder / 'sdist' / stem)
        (tree / 'mmcv' / '__init__.py').write_text('')
        (tree / 'setup.py').write_text(SETUP % (self.name, self.version))
        with tarfile.open(out / f'{stem}.tar.gz', 'w:gz') as archive:
            archive.add(tree, stem)

    def installer(self):
        torch = {'version': '2.6.0', 'cuda': False}
        env = SimpleNamespace(
            python=Path(sys.executable),
            state={'python': '3.11.0', 'torch': torch, 'versions': {}},
            pip=self.pip,
            ops_error=lambda: '',
            notes=self.folder,
        )
        return mmcv_wheel.MmcvInstaller(env, self.name, self.version)

    def install(self):
        self.installer().install()

    def library(self):
        """The installed library, unpacked."""
        (self.folder / 'installed.whl').write_bytes(self.installed)
        with zipfile.ZipFile(self.folder / 'installed.whl') as archive:
            archive.extractall(self.folder / 'site')
        return next((self.folder / 'site' / 'mmcv').glob('_ext*'))

    def works(self):
        # In a process of its own: the file is written anew while this one goes on.
        asked = [sys.executable, '-c', 'import _ext; print(_ext.ops())']
        folder = self.library().parent
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True)
        return done.stdout == '123\n'


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def test_every_source_is_compiled_once(tmp_path):
    tree = write_tree(tmp_path)
    assert not unity.is_grouped(tree)
    unity.group_sources(tree)
    assert unity.is_grouped(tree)
    folder = tree / unity.CSRC / 'pytorch'
    seen = [*folder.glob('*.cpp'), *folder.glob('cpu/*.cpp')]
    # Two, for `helper` is in two of the four.
    assert sorted(path.name for path in seen) == UNITS
    included = [x for unit in seen for x in re.findall('"(.*)"', unit.read_text())]
    assert len(included) == len({*included}) == 4
    assert all((folder / x).is_file() for x in included)


@pytest.mark.parametrize(
    ('name', 'version'), [('mmcv', '2.1.0'), ('onedl-mmcv', '2.3.6')]
)
def test_a_build_in_groups_works_and_is_kept(tmp_path, monkeypatch, name, version):
    bench = Bench(tmp_path, monkeypatch, name, version)
    bench.install()
    assert bench.works()
    assert sorted(set(bench.compiled())) == UNITS
    # No debug symbols, but the optimisation Python was built with.
    assert b'.debug_info' not in bench.library().read_bytes()
    call = next(
        x for x in (tmp_path / 'calls').read_text().splitlines() if UNITS[0] in x
    )
    own = [x for x in sysconfig.get_config_var('CFLAGS').split() if x.startswith('-O')]
    assert own and set(own) <= set(call.split())
    installer = bench.installer()
    wheels = list((tmp_path / 'cache').rglob('*.whl'))
    assert [x.parent.name for x in wheels] == [installer.key]
    assert installer.key.startswith(f'{name.replace("-", "_")}-{version}-torch2.6.0')
    assert not (tmp_path / 'cache' / 'mmdet_qrpaq' / 'build' / installer.key).exists()
    (tmp_path / 'calls').unlink()
    bench.install()
    assert not (tmp_path / 'calls').exists()  # the second time, from the cache


def test_a_unit_that_does_not_compile_ends_in_a_build_file_by_file(bench, capsys):
    bench.compiler('exit 1')
    bench.install()
    assert bench.works()
    names = ['module.cpp', 'one.cpp', 'three.cpp', 'two.cpp']
    assert set(names) < set(bench.compiled())
    said = [x for x in capsys.readouterr().out.splitlines() if 'failed' in x]
    assert len(said) == 1 and said[0].endswith('now file by file')
    assert str(bench.folder / 'logs' / 'mmcv-build.log') in said[0]


def test_what_fails_file_by_file_too_is_an_error(bench):
    bench.compiler('exit 1', '.cpp')
    with pytest.raises(running.SetupError, match='mmcv-build-by-file.log'):
        bench.install()
    # The next attempt may go on with this tree, which has no units.
    (tree,) = (bench.folder / 'cache' / 'mmdet_qrpaq' / 'build').glob('*/mmcv-2.1.0')
    assert not unity.is_grouped(tree)
    bench.compiler('')
    bench.install()
    assert bench.works()
    assert not list(tree.parent.parent.iterdir())


def test_a_build_broken_off_goes_on(bench, monkeypatch, capsys):
    bench.compiler(f'touch {bench.folder}/started; sleep 60')

    def interrupt(log, elapsed):
        if (bench.folder / 'started').exists():
            raise KeyboardInterrupt
        return ''

    with monkeypatch.context() as patch:
        patch.setattr(mmcv_wheel, 'describe_build', interrupt)
        with pytest.raises(KeyboardInterrupt):
            bench.install()
    bench.compiler('')
    bench.install()
    assert 'going on with the build' in capsys.readouterr().out
    assert bench.works()
    assert 'module.cpp' not in bench.compiled()  # still in groups


def test_a_set_up_killed_outright_heals(bench, capsys):
    bench.compiler(f'touch {bench.folder}/started; sleep 3; exit 1')
    process = os.fork()
    if not process:
        with open(os.devnull, 'w') as null:
            os.dup2(null.fileno(), 1)
            bench.install()
        os._exit(0)
    for _ in range(200):
        if (bench.folder / 'started').exists():
            break
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    bench.compiler('')
    bench.install()  # waits for the compiler that was left behind
    said = capsys.readouterr().out
    assert 'another set-up is busy' in said and 'going on with the build' in said
    assert bench.works()


def test_a_half_written_tree_is_done_afresh(bench, monkeypatch, capsys):
    def interrupt(tree):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mmcv_wheel, 'group_sources', interrupt)
        with pytest.raises(KeyboardInterrupt):
            bench.install()
    assert list((bench.folder / 'cache').rglob('setup.py'))
    bench.install()
    assert 'going on with the build' not in capsys.readouterr().out
    assert bench.works()
    assert sorted(set(bench.compiled())) == UNITS


def test_a_damaged_tree_of_an_earlier_attempt_is_built_in_groups_again(bench, capsys):
    work = mmcv_wheel.cache_root() / 'build' / bench.installer().key
    tree = mmcv_wheel.unpack(bench.pip, 'mmcv', '2.1.0', work, grouped=True)
    (tree / unity.CSRC / 'pytorch' / 'unit_1.cpp').write_text('no C++')
    bench.install()
    assert 'once more from the start' in capsys.readouterr().out
    assert bench.works()
    assert 'module.cpp' not in bench.compiled()
