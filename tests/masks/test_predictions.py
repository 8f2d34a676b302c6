"""Masks of the detections against one image and one query at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmdet_qrpaq.masks import MaskBranch
from mmdet_qrpaq.masks.predictions import draw_masks


def by_query(embeddings, pixels, img_shape, out_shape):
    """All of the padded map, enlarged four times, cut, resized, as a probability."""
    masks = []
    for embedding in embeddings:
        logit = torch.tensordot(embedding, pixels, 1)[None, None]
        # What lies beyond the image's cells must not bleed into it.
        h, w = (-(-side // 4) for side in img_shape)
        logit = logit[..., :h, :w]
        logit = F.interpolate(
            logit, size=(4 * h, 4 * w), mode='bilinear', align_corners=False
        )[..., : img_shape[0], : img_shape[1]]
        logit = F.interpolate(
            logit, size=out_shape, mode='bilinear', align_corners=False
        )
        masks.append((logit[0, 0].sigmoid() > 0.5).numpy())
    return np.stack(masks)


@pytest.mark.parametrize('at_once', [1, 3, 16])
@pytest.mark.parametrize(
    ('img_shape', 'out_shape'),
    [
        ((24, 32), (24, 32)),
        ((21, 30), (21, 30)),
        ((21, 30), (42, 60)),
        ((24, 32), (10, 9)),
        ((3, 5), (7, 11)),
    ],
)
def test_masks_are_those_of_one_query_at_a_time(img_shape, out_shape, at_once):
    rng = torch.Generator().manual_seed(0)
    embeddings = torch.randn(7, 8, generator=rng)
    pixels = torch.randn(8, 6, 8, generator=rng)
    found = draw_masks(embeddings, pixels, img_shape, out_shape, at_once)
    assert found.dtype == torch.bool
    expected = by_query(embeddings, pixels, img_shape, out_shape)
    assert (found.numpy() == expected).all()


def test_a_hand_made_map():
    """One query reads the channel that is positive left of column 8."""
    pixels = torch.zeros(2, 4, 4)
    pixels[0] = torch.tensor([1.0, 1.0, -1.0, -1.0])
    found = draw_masks(torch.tensor([[1.0, 0.0]]), pixels, (16, 16), (8, 8), 4)
    assert found[0].float().tolist() == [[1.0] * 4 + [0.0] * 4] * 8


@pytest.mark.parametrize('rescale', [True, False])
def test_masks_have_the_size_that_boxes_refer_to(rescale):
    branch = MaskBranch(in_channels=4, embed_dims=8)
    meta = dict(img_shape=(21, 30), ori_shape=(50, 71), batch_input_shape=(24, 32))
    masks = branch.predict(torch.randn(5, 8), torch.randn(8, 6, 8), meta, rescale)
    assert masks.shape == (5, *((50, 71) if rescale else (21, 30)))
    none = branch.predict(torch.randn(0, 8), torch.randn(8, 6, 8), meta, rescale)
    assert none.shape == (0, *masks.shape[1:]) and none.dtype == torch.bool
