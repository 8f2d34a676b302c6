"""What the distribution contains, and that every fact in it has one home."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

import mmdet_qrpaq
from mmdet_qrpaq import _compat

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md')
FOLDERS = ('mmdet_qrpaq', 'configs', 'tools')

pytestmark = pytest.mark.skipif(
    not (ROOT / 'setup.py').exists(), reason='needs the source tree'
)


@pytest.fixture(scope='module')
def source_copy(tmp_path_factory):
    """A copy of the sources, so that building leaves nothing in the tree."""
    copy = tmp_path_factory.mktemp('source')
    ignore = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info')
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    for name in (*SHIPPED, 'model-index.yml'):
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, copy)
    return copy


def build(source, *command):
    """Runs setup.py as the build front ends do, without asking an index."""
    subprocess.run(
        [sys.executable, 'setup.py', '-q', *command],
        cwd=source,
        check=True,
        capture_output=True,
        env={**os.environ, 'PYTHONWARNINGS': 'ignore'},
    )


@pytest.fixture(scope='module')
def wheel(source_copy):
    # A module deleted since an earlier build must not come along.
    stale = source_copy / 'build' / 'lib' / 'mmdet_qrpaq' / 'deleted_long_ago.py'
    stale.parent.mkdir(parents=True)
    stale.write_text('')
    build(source_copy, 'bdist_wheel')
    with zipfile.ZipFile(next((source_copy / 'dist').glob('*.whl'))) as archive:
        yield archive


def files_below(folder):
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and not {'__pycache__', '.mim'} & set(path.parts)
    }


def test_wheel_holds_package_and_mim_files(wheel):
    content = {
        name for name in wheel.namelist() if not re.match(r'[^/]+\.dist-info/', name)
    }
    beside = files_below('configs') | files_below('tools') | {'model-index.yml'}
    expected = {f'mmdet_qrpaq/.mim/{name}' for name in beside}
    assert content == expected | files_below('mmdet_qrpaq')


def test_mim_files_in_the_wheel_equal_the_sources(wheel):
    for name in files_below('configs') | {'model-index.yml', 'tools/bootstrap.py'}:
        packed = wheel.read(f'mmdet_qrpaq/.mim/{name}')
        assert packed == (ROOT / name).read_bytes(), name


def test_building_leaves_no_copy_in_the_package(wheel, source_copy):
    assert not (source_copy / 'mmdet_qrpaq' / '.mim').exists()


def test_wheel_metadata(wheel):
    name = next(x for x in wheel.namelist() if x.endswith('.dist-info/METADATA'))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata['Version'] == mmdet_qrpaq.__version__
    assert metadata['Requires-Python'] == '>=3.10'
    required = metadata.get_all('Requires-Dist')
    always = [line for line in required if 'extra ==' not in line]
    assert always
    # A hard dependency would install upstream on top of a fork.
    assert not [x for x in always if re.search('mmdet|mmcv|mmengine|mmdetection', x)]


def test_extras_and_import_check_ask_for_the_same_versions(wheel):
    name = next(x for x in wheel.namelist() if x.endswith('.dist-info/METADATA'))
    required = Parser().parsestr(wheel.read(name).decode()).get_all('Requires-Dist')
    for extra, modules in _compat.FAMILIES.items():
        listed = {
            re.split('[<>=;]', line)[0].strip(): line
            for line in required
            if re.search(f'extra == ["\']{extra}["\']', line)
        }
        assert set(listed) == {distribution for distribution, _, _ in modules.values()}
        for distribution, first, last in modules.values():
            bounds = dict(re.findall(r'(>=|<)([\d.]+)', listed[distribution]))
            found = {sign: _compat._numbers(x) for sign, x in bounds.items()}
            # A fork's own first release may be later than what the check lets pass.
            assert found['>='] >= _compat._numbers(first)
            assert found['<'][:2] == _compat._numbers(last)[: len(found['<'])]


def test_editable_build_links_and_does_not_copy(source_copy, tmp_path):
    code = (
        'from setuptools import Distribution; import runpy, sys;'
        'sys.argv = ["setup.py", "--version"];'
        'command = runpy.run_path("setup.py")["BuildWithMim"](Distribution());'
        'command.finalize_options(); command.editable_mode = True; command.run()'
    )
    subprocess.run(
        [sys.executable, '-c', code], cwd=source_copy, check=True, capture_output=True
    )
    mim = source_copy / 'mmdet_qrpaq' / '.mim'
    try:
        for entry in ('configs', 'tools', 'model-index.yml'):
            assert (mim / entry).is_symlink()
            assert (mim / entry).resolve() == source_copy / entry
    finally:
        shutil.rmtree(mim)


def test_version_is_written_once():
    version = mmdet_qrpaq.__version__
    for name in ('setup.py', 'pyproject.toml', 'mmdet_qrpaq/__init__.py'):
        assert version not in (ROOT / name).read_text()


def test_model_index_names_existing_configs():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    collections = {collection['Name'] for collection in index['Collections']}
    assert index['Models']
    for model in index['Models']:
        assert model['In Collection'] in collections
        config = ROOT / model['Config']
        assert config.is_file()
        assert config.stem == model['Name']
        # No weights are published, and the numbers are the paper's.
        assert 'Weights' not in model
        for result in model['Results']:
            assert all('(paper)' in metric for metric in result['Metrics'])


def test_model_index_loads_as_mim_loads_it():
    load = pytest.importorskip('modelindex.load_model_index').load
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    leaves = {path.stem for path in (ROOT / 'configs').glob('*.py')}
    assert {model.name for model in index.models} == {
        name for name in leaves if 'digits' not in name
    }


def test_config_names_are_unique_since_mim_finds_them_by_name():
    names = [path.name for path in (ROOT / 'configs').rglob('*.py')]
    assert len(names) == len(set(names))
