from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_qrpaq.analysis.side_by_side import READABLE_SIDE, draw_side_by_side
from mmdet_qrpaq.errors import ConfigError

SIZE = 80  # of the stored pictures; boxes below are in its pixels
BOX = [20.0, 24.0, 60.0, 64.0]
SCALE = READABLE_SIDE / SIZE


class Pictures(list):
    """Stands in for a data set: `metainfo`, `pipeline` and samples."""

    metainfo = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 255, 0)])

    def __init__(self, samples, transforms):
        super().__init__(dict(inputs=None, data_samples=sample) for sample in samples)
        steps = [type(name, (), {})() for name in transforms]
        self.pipeline = SimpleNamespace(transforms=steps)


class FixedDetector:
    """Predicts one box of class b with a given score, in the scale of the file."""

    def __init__(self, score):
        self.score = score

    def test_step(self, batch):
        (sample,) = batch['data_samples']
        sample.pred_instances = InstanceData(
            bboxes=torch.tensor([BOX]),
            labels=torch.tensor([1]),
            scores=torch.tensor([self.score]),
        )
        return [sample]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'picture.png'
    cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), 90, np.uint8))
    return path


def pictures(path, transforms=('Resize', 'LoadAnnotations'), box=BOX, number=1):
    samples = []
    for _ in range(number):
        meta = dict(img_path=str(path), scale_factor=(2.0, 0.5))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([box]), labels=torch.tensor([0])
        )
        samples.append(sample)
    return Pictures(samples, transforms)


def halves(figure):
    pair = figure.axes[0].images[0].get_array()
    assert pair.shape == (READABLE_SIDE, 2 * READABLE_SIDE, 3)
    return pair[:, :READABLE_SIDE].astype(int), pair[:, READABLE_SIDE:].astype(int)


def painted(half):
    """Bounding box (x1, y1, x2, y2) of all that is not the plain background."""
    rows, columns = np.nonzero(np.abs(half - 90).max(-1) > 40)
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_truth_is_left_and_predictions_are_right(picture):
    left, right = halves(draw_side_by_side(FixedDetector(0.9), pictures(picture)))
    for half, strong, weak in ((left, 0, 1), (right, 1, 0)):
        # Bottom edge, away from the name: the class's colour.
        edge = half[round(BOX[3] * SCALE), round(40 * SCALE)]
        assert edge[strong] > 200 and edge[weak] < 90
        assert np.allclose(painted(half), np.array(BOX) * SCALE, atol=4)


def test_predictions_below_the_threshold_are_not_drawn(picture):
    figure = draw_side_by_side(
        FixedDetector(0.4), pictures(picture), score_threshold=0.5
    )
    left, right = halves(figure)
    assert (right == 90).all()
    assert not (left == 90).all()


def test_resized_truth_is_brought_back_to_the_files_scale(picture):
    resized = [BOX[0] * 2, BOX[1] / 2, BOX[2] * 2, BOX[3] / 2]
    data = pictures(picture, ('LoadAnnotations', 'Resize'), resized)
    left, _ = halves(draw_side_by_side(FixedDetector(0.9), data))
    assert np.allclose(painted(left), np.array(BOX) * SCALE, atol=4)


@pytest.mark.parametrize(('there', 'wanted', 'drawn'), [(5, 2, 2), (2, 5, 2)])
def test_no_more_pictures_than_wanted_or_there(picture, there, wanted, drawn):
    figure = draw_side_by_side(
        FixedDetector(0.9), pictures(picture, number=there), num_pictures=wanted
    )
    assert sum(bool(axes.images) for axes in figure.axes) == drawn


def test_nothing_to_draw_is_refused(picture):
    with pytest.raises(ConfigError, match='at least one picture'):
        draw_side_by_side(FixedDetector(0.9), pictures(picture), num_pictures=0)
