"""IoU and distances of all pairs against mmdet's, bit for bit."""

import pytest
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps

from mmdet_qrpaq.matching.pairwise import pairwise_iou, pairwise_l1


def boxes(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return bbox_cxcywh_to_xyxy(torch.rand(*shape, 4, generator=generator)) * 97


@pytest.mark.parametrize('mode', ['iou', 'giou'])
@pytest.mark.parametrize('eps', [1e-6, 1e-12])
def test_overlaps_are_mmdets(mode, eps):
    objects, predictions = boxes(2, 5), boxes(3, 2, 40)
    objects[0, 0] = predictions[1, 0, 7]  # the same box
    objects[0, 1, 2:] = objects[0, 1, :2]  # without area
    predictions[0, 1, 3] = torch.nan
    predictions[2, 0, 4] = torch.inf
    found = pairwise_iou(objects, predictions, mode, eps)
    expected = bbox_overlaps(
        objects.expand(3, -1, -1, -1).contiguous(), predictions, mode, eps=eps
    )
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(), expected.nan_to_num())


def test_distances_are_a_sum_over_the_sides():
    objects, predictions = boxes(2, 5), boxes(3, 2, 40)
    expected = (objects[:, :, None] - predictions[:, :, None]).abs().sum(-1)
    assert torch.equal(pairwise_l1(objects, predictions), expected)
