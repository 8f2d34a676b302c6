"""The benchmark of mmcv's build: what it builds again, and what was recorded."""

import json
import subprocess
import sys

import pytest

from benchmarks import mmcv_build
from tiny_hosts import REPOSITORY


def test_help_comes_without_torch():
    code = (
        'import runpy, sys; sys.argv = ["mmcv_build.py", "--help"]\n'
        f'try: runpy.run_path({str(REPOSITORY / "benchmarks" / "mmcv_build.py")!r}, '
        'run_name="__main__")\n'
        'finally: assert "torch" not in sys.modules'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'file by file' in done.stdout


def test_what_is_built_is_not_built_again(tmp_path, monkeypatch):
    monkeypatch.setattr(mmcv_build, 'WORK', tmp_path)
    monkeypatch.setattr(mmcv_build, 'ProcessPoolExecutor', None)  # would build
    (tmp_path / 'grouped').mkdir()
    (tmp_path / 'grouped' / 'cost.json').write_text('{"core_seconds": 1.5}')
    assert mmcv_build.built('grouped') == {'core_seconds': 1.5}
    with pytest.raises(TypeError):
        mmcv_build.built('file_by_file')


def test_the_recorded_builds_are_alike_and_one_is_eight_times_cheaper():
    path = REPOSITORY / 'benchmarks' / 'results' / 'mmcv_build.json'
    measured = json.loads(path.read_text())['measured']
    slow, fast = (measured['ways'][way] for way in mmcv_build.WAYS)
    assert slow['core_seconds'] / fast['core_seconds'] >= 8
    assert slow['exported_names'] == fast['exported_names'] > 0
    assert measured['same_names']
    assert all(entry['equal'] for entry in measured['operators'].values())
    assert len(measured['operators']) == 7
