"""The script beside an exported model resizes and draws as the detector's pipeline."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmcv import imrescale
from PIL import Image

from mmdet_qrpaq import operating_points
from mmdet_qrpaq.export import detect_onnx
from mmdet_qrpaq.export.thresholds import thresholds_of
from mmdet_qrpaq.masks.predictions import draw_masks
from mmdet_qrpaq.operating_points import OperatingPoint, OperatingPoints


def test_resizing_is_that_of_opencv():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    for size in ((64, 64), (19, 21), (37, 53), (1, 200)):
        expected = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
        found = detect_onnx.resize(pixels, size).astype(int)
        # OpenCV rounds weights to 11 bits.
        assert abs(found - expected).max() <= 1, size


def detector_of(**facts) -> detect_onnx.Detector:
    detector = object.__new__(detect_onnx.Detector)
    detector.facts = facts
    return detector


def test_sizes_are_those_of_the_pipeline():
    detector = detector_of(short_side=800, long_side=1333, size=None)
    for height, width in ((480, 640), (100, 1000), (1333, 800), (7, 5)):
        rescaled = imrescale(np.zeros((height, width, 3), np.uint8), (1333, 800))
        assert detector.size_of(height, width) == rescaled.shape[:2]
    assert detector_of(size=[32, 64]).size_of(5, 5) == (32, 64)
    assert detector_of(size=None).size_of(5, 7) == (5, 7)


def test_masks_are_drawn_as_by_the_branch():
    rng = torch.Generator().manual_seed(0)
    embeddings, pixels = (
        torch.randn(3, 8, generator=rng),
        torch.randn(8, 7, 9, generator=rng),
    )
    expected = draw_masks(embeddings, pixels, (26, 33), (52, 66), 2)
    logits = torch.einsum('nc,chw->nhw', embeddings, pixels).numpy()
    found = detect_onnx.Detector.draw_masks(logits, (26, 33), (52, 66))
    # A logit may be 0 but for rounding.
    assert np.mean(found != expected.numpy()) < 1e-3


def test_boxes_come_back_to_the_file(tmp_path, monkeypatch, capsys):
    """A stand-in for the model finds the same half of what it is shown."""

    class Session:
        def run(self, names, inputs):
            _, _, height, width = inputs['images'].shape
            boxes = np.array([[[0, 0, width / 2, height], [0, 0, 1, 1]]], 'f4')
            return [boxes, np.array([[0.9, 0.4]], 'f4'), np.array([[1, 0]])]

    def fake(self, path):
        self.facts = json.loads(path.with_suffix('.json').read_text())
        self.session = Session()

    monkeypatch.setattr(detect_onnx.Detector, '__init__', fake)
    facts = dict(classes=['cat', 'dog'], thresholds=[0.5, 0.5])
    facts |= dict(size=None, short_side=20, long_side=40)
    (tmp_path / 'm.json').write_text(json.dumps(facts))
    (tmp_path / 'm.onnx').touch()
    Image.new('RGB', (100, 60)).save(tmp_path / 'a.png')
    words = [str(tmp_path / 'm.onnx'), str(tmp_path / 'a.png')]
    detect_onnx.main([*words, '--out', str(tmp_path / 'drawn')])
    line, written = capsys.readouterr().out.splitlines()
    assert line.endswith('a.png dog 0.900 0.0 0.0 50.0 60.0')
    with Image.open(written.removeprefix('written: ')) as drawn:
        assert drawn.size == (100, 60) and drawn.getbbox()
    detect_onnx.main([*words, '--threshold', '0.95'])
    assert 'nothing above the threshold' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='b.png does not exist'):
        detect_onnx.main([*words, 'b.png'])


def test_thresholds_are_the_operating_points_of_the_checkpoint(tmp_path):
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.write_bytes(b'weights')
    assert thresholds_of(str(checkpoint), ['cat', 'dog']) == [0.5, 0.5]
    overall, dog = (OperatingPoint(x, 0.5, 0.5, 0.5, 3) for x in (0.75, 0.25))
    operating_points.write(
        OperatingPoints(overall, dict(dog=dog), 'val.json', 3), checkpoint
    )
    assert thresholds_of(str(checkpoint), ['cat', 'dog']) == [0.75, 0.25]
