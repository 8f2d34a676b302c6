"""tools/model/export.py: files, the comparison with PyTorch, and bad input."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmdet_qrpaq.export import detect_onnx
from mmdet_qrpaq.images.reading import read_image
from tiny_hosts import host_config
from tiny_runs import METHODS, predictions, run_script, run_tool, save_untrained

for needed in ('onnx', 'onnxruntime', 'onnxscript'):
    pytest.importorskip(needed)


@pytest.fixture(scope='module')
def conditional(tiny_config: Path) -> Path:
    """A config of a small Conditional-DETR with routing, with the tiny DINO's data."""
    model = host_config('conditional', query_routing=dict(capacity=5))
    model.bbox_head.num_classes = 2
    cfg = Config.fromfile(str(tiny_config))
    cfg.model = model
    path = tiny_config.parent / 'tiny_conditional.py'
    cfg.dump(str(path))
    return path


def test_files_are_written_and_say_what_pytorch_says(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    checkpoint, out = tmp_path / 'tiny.pth', tmp_path / 'new' / 'tiny.onnx'
    save_untrained(conditional, checkpoint)
    run_tool('model/export', conditional, checkpoint, out, '--check', '2')
    told = capsys.readouterr().out
    assert 'ONNX Runtime and PyTorch: boxes within' in told
    assert '% of routing, ' in told and '(4 images)' in told
    files = {path.name for path in out.parent.iterdir()}
    assert files == {'tiny.onnx', 'tiny.json', 'detect_onnx.py'}
    facts = json.loads(out.with_suffix('.json').read_text())
    assert facts['classes'] == ['square', 'disc']
    assert facts['thresholds'] == [0.5, 0.5]
    assert (facts['short_side'], facts['long_side']) == (64, 64)
    compare_with_the_test(conditional, checkpoint, out, tmp_path)


def compare_with_the_test(config: Path, checkpoint: Path, out: Path, tmp_path: Path):
    """The script's detections are those that `tools/test.py` writes."""
    written = tmp_path / 'predictions.pkl'
    run_tool(
        *('test', config, checkpoint, '--out', written),
        *('--work-dir', tmp_path / 'test'),
    )
    root = config.parent / 'data' / 'images'
    detector = detect_onnx.Detector(out)
    for number, expected in predictions(written).items():
        pixels = read_image(str(root / f'val_{number}.png'))
        boxes, scores, labels, _ = detector(pixels, 0.0)
        np.testing.assert_allclose(scores, expected['scores'], atol=1e-4)
        close = abs(boxes - expected['bboxes']).max(1) < 0.1
        # Equal scores may change places.
        assert close.mean() > 0.8 and (labels == expected['labels']).mean() > 0.8


@pytest.mark.slow
def test_routed_patterns_with_masks_on_dino_and_openvino(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip('openvino')
    config = tmp_path / 'methods.py'
    masks = (
        'model.update(mask_branch=dict(num_points=48))\n'
        "model['bbox_head'] = dict(type='QualityAwareDINOHead')\n"
        "model['backbone'] = dict(out_indices=(0, 1, 2, 3))\n"
    )
    config.write_text(METHODS.format(base=str(tiny_config)) + masks)
    checkpoint, out = tmp_path / 'tiny.pth', tmp_path / 'tiny.onnx'
    save_untrained(config, checkpoint)
    run_tool('model/export', config, checkpoint, out, '--check', '1', '--openvino')
    told = capsys.readouterr().out
    assert told.count('of mask cells differ; free, ') == 2
    assert 'OpenVINO and PyTorch: boxes within' in told
    assert {path.suffix for path in tmp_path.glob('tiny.*')} == {
        *('.pth', '.onnx', '.json', '.xml', '.bin')
    }
    detector = detect_onnx.Detector(out)
    pixels = np.zeros((50, 80, 3), np.uint8)
    boxes, _, _, masks = detector(pixels, 0.0)
    assert len(boxes) == 20 and masks.shape == (20, 50, 80)


def refusal(*words: object, capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as stop:
        run_script('model/export', *words)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_bad_input_is_one_sentence(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
) -> None:
    out = tmp_path / 'tiny.onnx'
    said = refusal(conditional, 'none.pth', tmp_path / 'tiny.xml', capsys=capsys)
    assert said.endswith('tiny.xml, which does not end in .onnx; add that.')
    said = refusal(conditional, 'none.pth', out, capsys=capsys)
    assert 'checkpoint none.pth does not exist' in said
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    said = refusal(conditional, 'none.pth', out, capsys=capsys)
    assert "pip install 'mmdet_qrpaq[export]'" in said
    assert not list(tmp_path.iterdir())
