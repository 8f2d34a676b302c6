"""The one-sentence messages about missing, broken or unsuitable host packages."""

import importlib
import pkgutil
import types
from importlib import metadata

import pytest

from mmdet_qrpaq import _compat

UPSTREAM = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}
ONEDL = {'mmengine': '0.10.12', 'mmcv': '2.3.6', 'mmdet': '3.5.1'}
UPSTREAM_DISTRIBUTIONS = {'mmengine', 'mmcv', 'mmdet'}
ONEDL_DISTRIBUTIONS = {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection'}


@pytest.fixture
def installed(monkeypatch):
    """Returns a function that pretends exactly these packages are installed.

    A module's value is its version, or the exception its import raises.
    """

    def pretend(modules, distributions):
        modules = {'mmcv.ops': '', **modules}

        def import_module(name):
            found = modules.get(name)
            if found is None:
                raise ModuleNotFoundError(f'No module named {name!r}', name=name)
            if isinstance(found, Exception):
                raise found
            return types.SimpleNamespace(__version__=found)

        def version(name):
            if name not in distributions:
                raise metadata.PackageNotFoundError(name)
            return '0'

        monkeypatch.setattr(importlib, 'import_module', import_module)
        monkeypatch.setattr(metadata, 'version', version)
        # Python 3.14 has it no more, and is a test of its own.
        monkeypatch.setattr(pkgutil, 'find_loader', None, raising=False)

    return pretend


@pytest.mark.parametrize(
    ('modules', 'distributions'),
    [
        (UPSTREAM, UPSTREAM_DISTRIBUTIONS),
        (UPSTREAM | {'mmcv': '2.0.0'}, UPSTREAM_DISTRIBUTIONS),
        # mmengine of either line serves both; nothing is doubled here.
        (UPSTREAM, UPSTREAM_DISTRIBUTIONS - {'mmcv'} | {'mmcv-lite'}),
        (ONEDL, ONEDL_DISTRIBUTIONS),
        (ONEDL | {'mmdet': '3.4.2.post1', 'mmcv': '2.3.0.post3'}, ONEDL_DISTRIBUTIONS),
    ],
)
def test_supported_versions_pass(installed, modules, distributions):
    installed(modules, distributions)
    _compat.check_host_versions()


@pytest.mark.parametrize(
    ('changed', 'distributions', 'says'),
    [
        pytest.param(
            {'mmengine': None},
            UPSTREAM_DISTRIBUTIONS - {'mmengine'},
            ['mmengine, which is not installed', '"mmengine>=0.10,<1.0"'],
            id='mmengine missing',
        ),
        pytest.param(
            {'mmdet': None},
            UPSTREAM_DISTRIBUTIONS - {'mmdet'},
            ['mmdet, which is not installed', '"mmdet>=3.3,<3.4"'],
            id='mmdet missing',
        ),
        pytest.param(
            {'mmcv': None},
            UPSTREAM_DISTRIBUTIONS - {'mmcv'},
            ['mmcv, which is not', "operators.py standin'", '"mmcv>=2.0,<2.2"'],
            id='mmcv missing',
        ),
        pytest.param(
            {'mmcv': '2.2.0'},
            UPSTREAM_DISTRIBUTIONS,
            ['mmcv>=2.0,<2.2', 'but 2.2.0', '--no-build-isolation "mmcv>=2.0,<2.2"'],
            id='mmcv too new',
        ),
        pytest.param(
            {'mmcv': '1.7.2'},
            UPSTREAM_DISTRIBUTIONS,
            ['mmcv>=2.0,<2.2', 'but 1.7.2'],
            id='mmcv too old',
        ),
        pytest.param(
            {'mmdet': '3.2.0'},
            UPSTREAM_DISTRIBUTIONS,
            ['mmdet>=3.3,<3.4', 'but 3.2.0', '"mmdet>=3.3,<3.4"'],
            id='mmdet too old',
        ),
        pytest.param(
            {'mmengine': '0.9.1'},
            UPSTREAM_DISTRIBUTIONS,
            ['mmengine>=0.10,<1.0', 'but 0.9.1'],
            id='mmengine too old (0.9 < 0.10 as numbers, not as text)',
        ),
        pytest.param(
            {'mmcv.ops': ModuleNotFoundError("No module named 'mmcv._ext'")},
            UPSTREAM_DISTRIBUTIONS,
            [
                'operators of mmcv',
                'mmcv._ext',
                '--force-reinstall',
                'operators.py standin',
            ],
            id='mmcv without operators',
        ),
        pytest.param(
            {'mmcv.ops': ImportError('_ext.so: undefined symbol: _ZN3c10')},
            UPSTREAM_DISTRIBUTIONS,
            ['undefined symbol', '--no-cache-dir --no-build-isolation "mmcv>=2.0'],
            id='mmcv built for another torch',
        ),
        pytest.param(
            {'mmdet': AssertionError('MMCV==2.1.9 is used but incompatible. Please')},
            UPSTREAM_DISTRIBUTIONS,
            ['mmdet refuses', 'MMCV==2.1.9', '"mmengine>=0.10,<1.0"', '"mmcv>=2.0,'],
            id='mmdet refuses by assertion',
        ),
        pytest.param(
            {'mmdet': ModuleNotFoundError("No module named 'scipy'", name='scipy')},
            UPSTREAM_DISTRIBUTIONS,
            [
                "mmdet cannot be imported because 'scipy' is missing",
                'pip install scipy',
            ],
            id='a dependency of mmdet missing',
        ),
        pytest.param(
            {'mmcv': OSError('libGL.so.1: cannot open shared object file')},
            UPSTREAM_DISTRIBUTIONS,
            ['mmcv is installed but cannot be imported', 'libGL.so.1'],
            id='mmcv broken below Python',
        ),
        pytest.param(
            ONEDL | {'mmdet': '3.6.0'},
            ONEDL_DISTRIBUTIONS,
            ['mmdet>=3.4,<3.6', 'but 3.6.0', '"onedl-mmdetection>=3.4,<3.6"'],
            id='fork too new: its own command',
        ),
        pytest.param(
            ONEDL | {'mmcv': None},
            ONEDL_DISTRIBUTIONS - {'onedl-mmcv'},
            ['mmcv, which is not installed', '"onedl-mmcv>=2.3,<2.4"'],
            id='fork without its mmcv: its own command',
        ),
        pytest.param(
            ONEDL,
            ONEDL_DISTRIBUTIONS | {'mmdet'},
            ['mmdet and onedl-mmdetection', 'pip uninstall -y mmdet onedl-mmdetection'],
            id='two distributions of one module',
        ),
    ],
)
def test_unsuitable_hosts_are_named_in_one_sentence(
    installed, changed, distributions, says
):
    installed(UPSTREAM | changed, distributions)
    with pytest.raises(ImportError) as caught:
        _compat.check_host_versions()
    message = str(caught.value)
    for part in says:
        assert part in message
    assert '\n' not in message
    assert "'pip " in message


def test_a_python_without_what_mmengine_calls_is_told(installed, monkeypatch):
    installed(UPSTREAM, UPSTREAM_DISTRIBUTIONS)
    monkeypatch.delattr(pkgutil, 'find_loader')
    with pytest.raises(ImportError, match="use Python 3.13, or OneDL's forks"):
        _compat.check_host_versions()
    installed(ONEDL, ONEDL_DISTRIBUTIONS)
    _compat.check_host_versions()


def test_installed_hosts_pass():
    _compat.check_host_versions()
