"""Detections on an image: pixels worked by hand."""

import numpy as np
from pycocotools import mask as coco_masks

from mmdet_qrpaq.prediction.detections import Detections
from mmdet_qrpaq.prediction.drawing import draw

RED, GREEN = (255, 0, 0), (0, 255, 0)
IMAGE = np.full((60, 80, 3), 100, np.uint8)


def found(*boxes, scores=None, masks=None) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or [0.5] * len(boxes), np.float32),
        np.arange(len(boxes)),
        masks,
    )


def drawn(detections: Detections) -> np.ndarray:
    """Red first."""
    before = IMAGE.copy()
    image = draw(before, detections, ['a', 'b'], [RED, GREEN])
    assert image.shape == IMAGE.shape and image.dtype == np.uint8
    np.testing.assert_array_equal(before, IMAGE)
    return image[..., ::-1]


def test_nothing_found_is_the_image():
    np.testing.assert_array_equal(drawn(found()), IMAGE)


def test_a_box_is_a_line_of_its_colour_inside_it():
    image = drawn(found([20, 30, 50, 55]))
    is_red = (image == RED).all(-1)
    line = is_red[30:]  # the name is above
    rows, columns = np.nonzero(line)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 24, 20, 49)
    assert line[0, 20:50].all() and line[24, 20:50].all() and line[:25, 20].all()
    assert (image[35:50, 25:45] == 100).all()
    assert is_red[18:30, 20].all()  # the patch of the name


def test_names_stay_within_the_image():
    """At the top inside the box, at the right pushed to the left."""
    image = drawn(found([75, 2, 90, 40]))
    is_red = (image == RED).all(-1)
    rows, columns = np.nonzero(is_red)
    assert rows.min() == 2 and columns.min() < 60 and columns.max() == 79


def test_the_best_is_drawn_last():
    same = [20, 30, 50, 55]
    for scores, colour in (([0.9, 0.5], RED), ([0.5, 0.9], GREEN)):
        assert tuple(drawn(found(same, same, scores=scores))[30, 40]) == colour


def test_a_mask_is_laid_over_the_image():
    inside = np.zeros((60, 80), np.uint8, order='F')
    inside[35:40, 30:35] = 1
    mask = coco_masks.encode(inside)
    image = drawn(found([20, 30, 50, 55], masks=[mask]))
    # 0.55 of 100, and 0.45 of the colour
    assert image[37, 32].tolist() == [int(0.55 * 100 + 0.45 * 255), 55, 55]
    assert image[41, 32].tolist() == [100] * 3
