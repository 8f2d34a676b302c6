"""Every tool starts from a bare checkout, and says which OpenMMLab package it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_runs import TOOLS

STARTED = [
    'train.py a.py',
    'test.py a.py a.pth',
    'sweep.py a.py',
    'analysis/query_usage.py a.py a.pth',
    'analysis/side_by_side.py a.py a.pth',
    'analysis/training_curves.py a',
    'model/complexity.py a.py',
]


@pytest.mark.parametrize('command', STARTED)
def test_unfit_mmengine_is_one_sentence(command: str, tmp_path: Path) -> None:
    """The package is found (it does the complaining), wherever the command is run."""
    (tmp_path / 'mmengine.py').write_text("__version__ = '0.1'")
    tool, *words = command.split()
    done = subprocess.run(
        [sys.executable, str(TOOLS / tool), *words],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith('error: mmdet_qrpaq needs mmengine>=')
    assert '0.1 is installed' in sentence
