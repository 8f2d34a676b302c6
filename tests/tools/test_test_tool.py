"""tools/test.py and what else loads a trained checkpoint."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer

from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from mmdet_qrpaq.runtime.configs import read_config
from tiny_runs import TOOLS, believe, metrics, predictions, run_tool


@pytest.mark.slow
def test_two_processes_report_the_same_as_one(
    tiny_config: Path, tiny_run: Path, dataset_root: Path, tmp_path: Path
) -> None:
    """Three images on two processes: one of them is padding and must not count."""
    checkpoint = str(tiny_run / 'epoch_2.pth')
    first = tmp_path / 'first.pkl'
    arguments = [tiny_config, checkpoint, '--work-dir']
    run_tool('test', *arguments, tmp_path / 'first', '--out', first)
    truth = tmp_path / 'truth.json'
    believe(predictions(first), dataset_root / 'val.json', truth)
    one, two = tmp_path / 'one', tmp_path / 'two'
    common = ['--cfg-options', f'test_evaluator.ann_file={truth}']
    common.append(f'test_dataloader.dataset.ann_file={truth}')
    outputs = ['--show-dir', 'drawn', '--out', f'{one}.pkl', '--report']
    run_tool('test', *arguments, one, *outputs, *common)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    env = {**os.environ, 'PORT': str(port), 'CUDA_VISIBLE_DEVICES': '-1'}
    env['OMP_NUM_THREADS'] = '1'
    env['PATH'] = f'{Path(sys.executable).parent}:{env["PATH"]}'
    done = subprocess.run(
        ['bash', str(TOOLS / 'dist_test.sh'), str(tiny_config), checkpoint, '2']
        + ['--work-dir', str(two), '--out', str(two) + '.pkl', '--report', *common],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    drawn = sorted(path.name for path in one.glob('*/drawn/*'))
    assert drawn == ['val_0.png', 'val_1.png', 'val_2.png']
    expected, found = metrics(one), metrics(two)
    assert 0.1 < expected['coco/bbox_mAP'] < 0.9
    assert {k: v for k, v in found.items() if 'mAP' in k} == {
        k: v for k, v in expected.items() if 'mAP' in k
    }
    expected, found = predictions(Path(f'{one}.pkl')), predictions(Path(f'{two}.pkl'))
    assert sorted(expected) == sorted(found) == [0, 1, 2]
    for image, instances in expected.items():
        for key, value in instances.items():
            np.testing.assert_allclose(found[image][key], value, rtol=1e-4, atol=1e-4)
    # The report is written once, of the same detections.
    assert done.stdout.count('report.html') == 1
    expected, found = (
        json.loads((folder / 'report' / 'error_types.json').read_text())['numbers']
        for folder in (one, two)
    )
    assert found['models'][0]['counts'] == expected['models'][0]['counts']


def test_inferencer_loads_and_draws(
    tiny_config: Path, tiny_run: Path, dataset_root: Path, tmp_path: Path
) -> None:
    """`custom_imports` in the config is all that mmdet's own API needs."""
    inferencer = DetInferencer(
        str(tiny_config), str(tiny_run / 'epoch_2.pth'), device='cpu'
    )
    result = inferencer(str(dataset_root / 'images'), out_dir=str(tmp_path))
    assert len(result['predictions']) == 7
    assert len(list((tmp_path / 'vis').iterdir())) == 7


def test_inferencer_takes_grey_arrays(
    tiny_config: Path, tiny_run: Path, dataset_root: Path
) -> None:
    """The same detections as of the grey image in three channels."""
    inferencer = DetInferencer(
        *(str(tiny_config), str(tiny_run / 'epoch_2.pth'), 'cpu'), show_progress=False
    )
    grey = cv2.imread(str(dataset_root / 'images' / 'val_0.png'), cv2.IMREAD_GRAYSCALE)
    given = [np.dstack([grey] * 3), grey, grey[..., None], grey.astype('uint16') << 4]
    expected, *others = inferencer(given)['predictions']
    assert len(expected['scores']) == 20 and others == [expected] * 3


def test_weights_of_a_wrapped_model(
    tiny_config: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """What the check before loading forgives, loading forgives."""
    weights = read_checkpoint(str(tiny_run / 'epoch_2.pth'))['state_dict']
    weights = {k: v for k, v in weights.items() if 'num_batches_tracked' not in k}
    path = tmp_path / 'wrapped.pth'
    torch.save({f'module.{key}': value for key, value in weights.items()}, path)
    cfg = read_config(str(tiny_config))
    model = TrainedModel('tiny', str(tiny_config), str(path), cfg)
    loaded = model.detector.state_dict()
    assert all(torch.equal(loaded[key].cpu(), weights[key]) for key in weights)
