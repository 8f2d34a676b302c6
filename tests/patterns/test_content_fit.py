"""A host's content as mixes of patterns: the best there is, found without a search."""

import numpy as np
import pytest
import torch

from mmdet_qrpaq.patterns import PatternQueryGenerator
from mmdet_qrpaq.patterns.content_fit import fit_content, simplex


def content(num_queries: int, dim: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(num_queries, dim, generator=draw) + 3


def test_corners_of_a_triangle():
    """By hand: three points of equal distance around 0."""
    half, sixth = 0.5**0.5, 6**-0.5
    expected = [[half, sixth], [0, -2 * sixth], [-half, sixth]]
    np.testing.assert_allclose(simplex(3), expected, atol=1e-12)


@pytest.mark.parametrize('number', [1, 2, 7, 150])
def test_a_simplex_is_regular_and_around_zero(number):
    corners = simplex(number)
    centred = torch.eye(number, dtype=torch.float64) - 1 / number
    torch.testing.assert_close(corners @ corners.T, centred)


def test_two_patterns_for_points_on_a_line():
    """By hand: content t * (3, 4) is between two patterns on that line."""
    t = torch.tensor([-10.0, 0, 10])
    weights, patterns = fit_content(t[:, None] * torch.tensor([3.0, 4]), 2)
    # The middle one is half of each; the outer ones leave 0.1 of a half.
    expected = torch.tensor([[0.05, 0.95], [0.5, 0.5], [0.95, 0.05]])
    order = weights[0].argsort()
    torch.testing.assert_close(weights[:, order], expected)
    # 10 is 0.9 of the way from the middle to a pattern.
    far = torch.tensor([30.0, 40]) / 0.9
    torch.testing.assert_close(patterns[order], torch.stack((far, -far)))


@pytest.mark.parametrize(
    ('num_queries', 'dim', 'num_patterns'),
    [(12, 16, 12), (40, 16, 17), (40, 16, 40), (900, 16, 150)],
)
def test_with_as_many_patterns_as_dimensions_it_is_exact(
    num_queries, dim, num_patterns
):
    wanted = content(num_queries, dim)
    weights, patterns = fit_content(wanted, num_patterns)
    torch.testing.assert_close(weights @ patterns, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize('num_patterns', [1, 2, 5, 9])
def test_with_fewer_it_is_the_best_flat(num_patterns):
    """What is left are the components of the centred content that found no place."""
    wanted = content(40, 16)
    weights, patterns = fit_content(wanted, num_patterns)
    assert weights.min() > 0.09 / num_patterns
    torch.testing.assert_close(weights.sum(1), torch.ones(40))
    centred = wanted.numpy() - wanted.numpy().mean(0)
    left = np.linalg.svd(centred, compute_uv=False)[num_patterns - 1 :]
    error = (weights @ patterns - wanted).norm()
    assert error == pytest.approx(np.sqrt((left**2).sum()), rel=1e-4)


def test_content_that_is_zero_is_made_of_patterns_that_are_not():
    """Around 0 at the length of patterns that start at random."""
    weights, patterns = fit_content(torch.zeros(300, 64), 50)
    assert (weights @ patterns).abs().max() < 1e-5
    assert patterns.norm(dim=1).min() > 0.95 * 8
    torch.testing.assert_close(weights, torch.full((300, 50), 1 / 50))


def test_the_generator_makes_it_of_every_image_and_can_learn():
    generator = PatternQueryGenerator(12, 12, embed_dims=32, num_levels=2)
    generator.init_weights()
    wanted = content(12, 32)
    made = generator.start_as(wanted)
    images = torch.randn(2, 20, 32)
    output = generator(images, [(4, 4), (2, 2)])
    for of_image in output:
        torch.testing.assert_close(of_image, made)
        torch.testing.assert_close(of_image, wanted, atol=1e-4, rtol=0)
    (output * torch.randn_like(output)).sum().backward()
    last = generator.weight_generator.mlp[-1]
    for parameter in (generator.patterns.weight, last.weight, last.bias):
        assert parameter.grad.abs().max() > 0
