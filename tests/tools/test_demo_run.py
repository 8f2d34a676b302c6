"""The demo as users run it, at small scale, and the commands it ends with."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tiny_hosts import REPOSITORY

FEW = ['--cfg-options', 'train_dataloader.dataset.indices=40', 'train_cfg.max_epochs=2']
# What makes a command of the demo's end short; the rest stays as it was told.
SHORTER = {'report.py': '--only overview curves', 'train.py': '', 'mim': ''}
# Data that is not here; all else of these commands is well.
LACKING = {'train.py': 'data/mine', 'mim': 'data/coco/'}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy, since the demo makes its data beside its tools."""
    for name in ('configs', 'tools', 'mmdet_qrpaq'):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    return tmp_path


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, str(folder / 'tools' / 'demo.py'), *FEW]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_the_demo_is_stopped_resumed_and_followed_by_what_it_says(checkout):
    work_dir = checkout / 'work_dirs' / 'demo'
    first = start(checkout)
    for _ in range(2400):
        if (work_dir / 'epoch_1.pth').exists():
            break
        time.sleep(0.25)
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=60)[0]
    assert first.returncode == 130 and 'Run the same command again' in said

    second = start(checkout)
    said = second.communicate(timeout=900)[0]
    assert second.returncode == 0, said
    log = (work_dir / 'train.log').read_text()
    assert 'Epoch(train) [2][' in log and 'Epoch(train) [1][' not in log
    # Quiet: what mmengine prints is in the log alone, and there it is whole.
    assert 'mmengine' not in said and 'train_cfg = dict' in log
    assert len(said.splitlines()) < 60
    for path in re.findall(r'^  (work_dirs/\S+)$', said, re.MULTILINE):
        assert (checkout / path).stat().st_size > 0
    numbers = json.loads((work_dir / 'val_predictions.json').read_text())
    assert numbers['origin']['options']['score_threshold'] == 'best'

    told = said.partition('Type next')[2].splitlines()
    commands = [line.strip() for line in told if line.startswith('      ')]
    assert len(commands) == len(SHORTER)
    for (name, words), command in zip(SHORTER.items(), commands, strict=True):
        assert name in command
        done = subprocess.run(
            shlex.split(f'{command} {words}'),
            cwd=checkout,
            capture_output=True,
            text=True,
        )
        output = done.stdout + done.stderr
        if name in LACKING:
            told = rf'^error: .*{LACKING[name]}'
            assert re.search(told, output, re.MULTILINE), output
        else:
            assert done.returncode == 0, output
