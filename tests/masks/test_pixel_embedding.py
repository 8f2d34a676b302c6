"""Pixel embeddings do not depend on padding; upsampling against hand-worked numbers."""

import pytest
import torch
import torch.nn.functional as F

from mmdet_qrpaq.masks.pixel_embedding import (
    PixelEmbedding,
    cells,
    enlarge,
    valid_map,
)

DIM = 6


def cut(level, size):
    return level[..., : size[0], : size[1]]


def tokens(level):
    return level.flatten(2).transpose(1, 2)


def make(sizes, padded, factor, seed=0):
    """Random maps; padding is full of numbers nobody may look at."""
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    embedding = PixelEmbedding(in_channels=3, embed_dims=DIM)
    bs = len(sizes)
    feature = torch.randn(bs, 3, *cells(padded), generator=rng)
    level = torch.randn(bs, DIM, *cells(padded, 4 * factor), generator=rng)
    for i, size in enumerate(sizes):
        feature[i, :, cells(size)[0] :] = 100
        feature[i, :, :, cells(size)[1] :] = -100
        level[i, :, cells(size, 4 * factor)[0] :] = 100
        level[i, :, :, cells(size, 4 * factor)[1] :] = -100
    return embedding, level, feature


@pytest.mark.parametrize('factor', [2, 1])
@pytest.mark.parametrize(
    'sizes', [[(32, 48), (21, 30)], [(17, 48), (32, 9)], [(32, 48), (4, 4)]], ids=str
)
def test_an_image_is_its_own_whatever_it_is_batched_with(sizes, factor):
    padded = tuple(max(sides) for sides in zip(*sizes, strict=True))
    embedding, level, feature = make(sizes, padded, factor)
    together = embedding(tokens(level), level.shape[-2:], feature, sizes)
    for i, size in enumerate(sizes):
        own_level = cut(level[i : i + 1], cells(size, 4 * factor))
        own_feature = cut(feature[i : i + 1], cells(size))
        alone = embedding(tokens(own_level), own_level.shape[-2:], own_feature, [size])
        torch.testing.assert_close(cut(together[i : i + 1], cells(size)), alone)


def test_without_padding_it_is_the_plain_formula():
    embedding, level, feature = make([(32, 48)], (32, 48), 2)
    more = torch.cat((tokens(level), torch.randn(1, 7, DIM)), 1)  # coarser levels
    found = embedding(more, (4, 6), feature, [(32, 48)])
    wide = F.interpolate(level, size=(8, 12), mode='bilinear', align_corners=False)
    lateral = F.layer_norm(
        F.conv2d(feature, embedding.lateral.weight, embedding.lateral.bias).permute(
            0, 2, 3, 1
        ),
        (DIM,),
    ).permute(0, 3, 1, 2)
    expected = embedding.output(F.relu(lateral + wide))
    torch.testing.assert_close(found, expected)


def test_enlarge_lets_padding_add_nothing():
    level = torch.tensor([[[[4.0, 8.0, 1000.0]]]])
    valid = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    # Cells half a cell from a border have it alone; between two they have 3 : 1.
    expected = [4.0, 5.0, 7.0, 8.0, 8.0, 0.0]
    for row in enlarge(level, valid, 2)[0, 0]:
        torch.testing.assert_close(row, torch.tensor(expected))


def test_valid_map_and_cells():
    assert cells((33, 8)) == (9, 2) and cells((33, 8), 8) == (5, 1)
    found = valid_map([(2, 1), (0, 3)], torch.zeros(2, 5, 2, 3))
    assert found.tolist() == [[[[1, 0, 0], [1, 0, 0]]], [[[0, 0, 0], [0, 0, 0]]]]
