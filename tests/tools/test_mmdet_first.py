"""mmdet's own programs, which import mmdet and mmcv before anything of ours."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.utils import get_installed_path

from tiny_hosts import REPOSITORY

INFER = """
from mmdet.apis import DetInferencer
config, checkpoint, image = __import__('sys').argv[1:]
inferencer = DetInferencer(model=config, weights=checkpoint, device='cpu')
found = inferencer(image, no_save_vis=True)['predictions'][0]
print(len(found['scores']), type(inferencer.model).__name__)
"""


def run(*command: object) -> str:
    """Runs Python in a process of its own, where our package can be imported."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_mmdets_training_and_inferencer(tiny_config, dataset_root, tmp_path):
    tool = Path(get_installed_path('mmdet')) / '.mim' / 'tools' / 'train.py'
    config = tmp_path / 'paq.py'
    config.write_text(
        f'_base_ = {str(tiny_config)!r}\n'
        "model = dict(type='QRPaQDINO', pattern_query=dict(num_patterns=5))\n"
        'train_cfg = dict(max_epochs=1)\n'
    )
    run('-W', 'ignore', tool, config, '--work-dir', tmp_path / 'work')
    log = next((tmp_path / 'work').glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    checkpoint = tmp_path / 'work' / 'epoch_1.pth'
    image = next((dataset_root / 'images').glob('val_*.png'))
    said = run('-W', 'ignore', '-c', INFER, config, checkpoint, image)
    assert said.splitlines()[-1] == '20 QRPaQDINO'
