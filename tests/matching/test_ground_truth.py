"""Padding by hand."""

import torch
from mmengine.structures import InstanceData

from mmdet_qrpaq.matching import pad_ground_truth


def objects(*boxes):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        labels=torch.arange(len(boxes)) + 1,
    )


def test_objects_are_padded_to_the_most_of_an_image():
    batch = [
        objects([0, 0, 50, 20]),
        objects(),
        objects([10, 20, 30, 60], [0, 0, 9, 9]),
    ]
    metas = [dict(img_shape=shape) for shape in ((40, 100), (7, 9), (200, 50, 3))]
    truth = pad_ground_truth(batch, metas)
    assert truth.valid.tolist() == [[True, False], [False, False], [True, True]]
    assert truth.labels.tolist() == [[1, 0], [0, 0], [1, 2]]
    assert truth.pixels[2, 0].tolist() == [10, 20, 30, 60]
    assert not truth.pixels[~truth.valid].any()
    assert truth.scale.tolist() == [[100, 40] * 2, [9, 7] * 2, [50, 200] * 2]
    torch.testing.assert_close(truth.boxes[0, 0], torch.tensor([0.25, 0.25, 0.5, 0.5]))
    torch.testing.assert_close(truth.boxes[2, 0], torch.tensor([0.4, 0.2, 0.4, 0.2]))


def test_without_any_object_there_is_one_of_padding():
    truth = pad_ground_truth([objects()], [dict(img_shape=(40, 100))])
    assert truth.boxes.shape == (1, 1, 4) and not truth.valid.any()
