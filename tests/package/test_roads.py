"""Which way mmcv comes into an environment, and that no way leaves it without one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap_lib import roads, standin_wheel
from bootstrap_lib.environment import Environment
from bootstrap_lib.running import SetupError

TOOLS = Path(__file__).resolve().parents[2] / 'tools'

STANDIN = {'mmcv-lite': '2.1.0', standin_wheel.NAME: standin_wheel.VERSION}


class Recorded(Environment):
    """An environment whose pip only notes what it is told, and does it in name."""

    def __init__(self, versions=(), cuda=False, fails=''):
        self.own, self.redo, self.notes = False, False, Path('/nowhere')
        self.python = Path('/somewhere/venv/bin/python')
        self.called, self.fails = [], fails
        self.state = {
            'versions': dict(versions),
            'python': '3.11.7',
            'torch': {'version': '2.13.0', 'cuda': cuda},
        }
        self.probe()

    def probe(self, heal=False):
        there = self.state['versions']
        self.state['standin'] = STANDIN.keys() <= there.keys()
        compiled = there.get('mmcv') == 'compiled'
        self.state['mmcv_ops_error'] = '' if compiled else 'no operators'
        return self.state

    def pip(self, args, what):
        self.called.append(' '.join(args[:2]))
        if self.fails and self.fails in ' '.join(args):
            raise SetupError(f'{what} failed')
        there = self.state['versions']
        if args[0] == 'uninstall':
            for name in args[2:]:
                there.pop(name, None)
        elif args[0] == 'wheel':
            (Path(args[4]) / 'mmcv_lite-2.1.0-py3-none-any.whl').write_text('')
        elif args[0] == 'install':
            name = Path(args[-1]).name.split('-')[0].replace('_', '-')
            there[name] = 'compiled' if name == 'mmcv' else standin_wheel.VERSION
        return ''


@pytest.fixture
def compiler(monkeypatch):
    """Sets what an attempt to compile ends in, and whether there is nvcc."""

    def prepare(outcome, nvcc=True):
        class Installer:
            def __init__(self, env, name, version, replaced):
                self.pip, self.replaced = env.pip, replaced

            def install(self):
                self.pip(['uninstall', '-y', *self.replaced], 'removing')
                if outcome:
                    raise SetupError(outcome)
                self.pip(['install', 'mmcv-2.1.0.whl'], 'installing')

        monkeypatch.setattr(roads, 'MmcvInstaller', Installer)
        monkeypatch.setattr(roads, 'find_nvcc', lambda: '/nvcc' if nvcc else None)

    monkeypatch.delenv('OPERATORS', raising=False)
    monkeypatch.delenv('LINE', raising=False)
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    return prepare


def test_nothing_becomes_the_standin(compiler, capsys):
    compiler('')
    env = Recorded()
    assert roads.install_mmcv(env)
    assert env.state['standin']
    assert env.called == [
        'wheel --no-deps',
        f'install {env.called[1].split()[1]}',
        'install --no-deps',
    ]
    assert 'note' not in capsys.readouterr().out
    # And then there is nothing to do.
    assert not roads.install_mmcv(env)
    assert len(env.called) == 3


@pytest.mark.parametrize('versions', [STANDIN, {'mmcv': 'compiled'}])
def test_what_works_stays_though_a_compiler_came(compiler, versions):
    compiler('')
    env = Recorded(versions, cuda=True)
    assert not roads.install_mmcv(env)
    assert not env.called


def test_where_compiling_fails_unasked_pytorch_stands_in(compiler, capsys):
    compiler('nvcc is too old')
    env = Recorded(cuda=True)
    assert roads.install_mmcv(env)
    assert env.state['standin']
    told = capsys.readouterr().out
    assert 'nvcc is too old' in told and 'PyTorch stands in' in told
    assert 'there is no nvcc' not in told


@pytest.mark.parametrize('versions', [{}, STANDIN])
def test_where_compiling_was_asked_for_its_failure_is_told(
    compiler, monkeypatch, versions
):
    compiler('nvcc is too old')
    monkeypatch.setenv('OPERATORS', 'compiled')
    env = Recorded(versions, cuda=True)
    with pytest.raises(SetupError, match='nvcc is too old'):
        roads.install_mmcv(env)
    # What worked before works again.
    assert env.state['standin'] == bool(versions)


def test_compiled_operators_replace_the_standin(compiler, monkeypatch):
    compiler('')
    monkeypatch.setenv('OPERATORS', 'compiled')
    env = Recorded(STANDIN)
    roads.install_mmcv(env)
    assert env.state['versions'].keys() == {'mmcv'}


def test_nothing_goes_before_its_replacement_is_fetched(compiler):
    compiler('', nvcc=False)
    env = Recorded({'mmcv': 'without CUDA'}, cuda=True, fails='wheel')
    with pytest.raises(SetupError, match='fetching'):
        roads.install_mmcv(env)
    assert env.state['versions'] == {'mmcv': 'without CUDA'}


def test_a_gpu_without_nvcc_is_told(compiler, capsys):
    compiler('', nvcc=False)
    assert roads.install_mmcv(Recorded(cuda=True))
    assert 'there is no nvcc' in capsys.readouterr().out


def test_a_torch_that_fails_is_not_remembered_as_good(tmp_path):
    venv = tmp_path / 'venv'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', venv], check=True)
    python = venv / 'bin' / 'python'
    site = next((venv / 'lib').glob('python*')) / 'site-packages'
    (site / 'mmcv').mkdir()
    (site / 'mmcv' / '__init__.py').write_text('')
    (site / 'mmcv' / '_ext.py').write_text('')
    for name, version in {**STANDIN, 'torch': '2.13.0'}.items():
        folder = site / f'{name}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')

    def probe():
        script = TOOLS / 'bootstrap_lib' / 'probe.py'
        done = subprocess.run([python, script], capture_output=True, check=True)
        return json.loads(done.stdout)

    (site / 'torch.py').write_text('raise ImportError("libgomp is missing")')
    assert 'libgomp' in probe()['torch']['error']
    (site / 'torch.py').write_text(
        'from types import SimpleNamespace\n__version__ = "2.13.0"\n'
        'cuda = SimpleNamespace(is_available=lambda: False)\n'
    )
    mended = probe()
    assert mended['torch']['version'] == '2.13.0'
    assert mended['standin']
    # mmcv's Python files are gone, so it is no use.
    (site / 'mmcv-lite-2.1.0.dist-info' / 'METADATA').unlink()
    assert not probe()['standin']
