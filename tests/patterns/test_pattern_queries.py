"""PaQ-DETR Eq. 4, 5 and 8 by hand, and what the generator must not depend on."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.patterns import PatternQueryGenerator, pattern_diversity
from mmdet_qrpaq.patterns.attention import (
    CoordinateAttention,
    EfficientChannelAttention,
    masked_mean,
)
from tiny_hosts import build, host_config, make_batch, run_loss, total_loss

SIZES = [(12, 16), (6, 8), (3, 4), (2, 2)]


def generator(num_levels: int = 4, **changes) -> PatternQueryGenerator:
    torch.manual_seed(0)
    settings = dict(
        num_queries=6,
        num_patterns=3,
        embed_dims=32,
        num_levels=num_levels,
        hidden_dims=16,
    )
    module = PatternQueryGenerator(**dict(settings, **changes))
    module.init_weights()
    return module.eval()


def memory_of(sizes, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(1, sum(h * w for h, w in sizes), 32, generator=rng)


def test_eq4_by_hand():
    module = generator(num_queries=2, num_patterns=2, embed_dims=2)
    module.patterns.weight.data = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    weights = torch.tensor([[[0.25, 0.75], [1.0, 0.0]]])
    module.weight_generator.forward = lambda *args: weights
    # 0.25 * (1, 2) + 0.75 * (3, -4) = (2.5, -2.5); the second query is pattern 1.
    expected = torch.tensor([[[2.5, -2.5], [1.0, 2.0]]])
    assert torch.equal(module(torch.zeros(1, 1, 2), [(1, 1)]), expected)


def test_eq5_by_hand():
    # One level of size 1 x 1, identity convolutions: F_w sees the memory itself.
    module = generator(1, num_queries=2, num_patterns=2, embed_dims=2, hidden_dims=2)
    weight_generator = module.weight_generator
    fusion = weight_generator.fusion
    fusion.reduce.weight.data = torch.eye(2)[..., None, None]
    fusion.dilated.weight.data.zero_()
    fusion.dilated.weight.data[:, :, 1, 1] = torch.eye(2)
    fusion.reduce.bias.data.zero_(), fusion.dilated.bias.data.zero_()
    first, _, _, last = weight_generator.mlp
    first.weight.data = torch.eye(2)
    last.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 9.0], [2.0, 0.0]])
    first.bias.data.zero_(), last.bias.data.zero_()
    # Memory (5, 1): LayerNorm gives (1, -1), ReLU (1, 0), logits (1, 0) and (0, 2).
    weights = weight_generator(torch.tensor([[[5.0, 1.0]]]), [(1, 1)])
    e = math.e
    expected = torch.tensor(
        [[[e / (e + 1), 1 / (e + 1)], [1 / (e**2 + 1), e**2 / (e**2 + 1)]]]
    )
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    'patterns, expected',
    [
        ([[2.0, 0.0], [0.0, 3.0]], 0.0),  # orthogonal
        ([[1.0, 1.0], [-2.0, -2.0]], 1.0),  # opposite: the absolute value counts
        # Pairs (1,2): 1/sqrt 2, (1,3): 0, (2,3): 1/sqrt 2; mean over 3 (each twice).
        ([[1.0, 0.0], [1.0, 1.0], [0.0, 5.0]], math.sqrt(2) / 3),
        ([[1.0, 2.0]], 0.0),  # a single pattern has no pair
    ],
)
def test_eq8_by_hand(patterns, expected):
    loss = pattern_diversity(torch.tensor(patterns))
    torch.testing.assert_close(loss, torch.tensor(expected), rtol=0, atol=1e-6)


def test_the_loss_is_weighted_by_beta():
    module = generator(diversity_weight=0.5)
    module.patterns.weight.data.fill_(1.0)
    assert module.loss()['loss_pattern_diversity'].item() == pytest.approx(0.5)


def test_rows_are_convex_and_queries_differ_from_the_start():
    weights = generator().weight_generator(memory_of(SIZES), SIZES)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 6))
    # Near-zero initial logits would make all rows uniform, all queries identical.
    assert torch.pdist(weights[0]).min() > 0.05


@pytest.mark.parametrize('finest', [False, True])
def test_the_weights_depend_on_the_image_and_on_its_finest_level_if_asked(finest):
    module, memory = generator(finest=finest), memory_of(SIZES)
    queries = module(memory, SIZES)
    assert not torch.allclose(module(memory_of(SIZES, 1), SIZES), queries, atol=1e-3)
    finest = SIZES[0][0] * SIZES[0][1]
    changed = torch.cat((memory_of(SIZES, 1)[:, :finest], memory[:, finest:]), 1)
    assert torch.equal(module(changed, SIZES), queries) is not finest


@pytest.mark.parametrize('num_levels, steps', [(1, (0, 0)), (2, (0, 1)), (4, (2, 3))])
def test_z_has_the_size_of_the_finest_level_that_is_fused(num_levels, steps):
    sizes = SIZES[:num_levels]
    levels = [torch.randn(1, 32, *size) for size in sizes]
    valid = [torch.ones(1, 1, *size) for size in sizes]
    for finest, number in zip((False, True), steps, strict=True):
        fusion = generator(num_levels, finest=finest).weight_generator.fusion
        fused, mask = fusion(levels, valid)
        size = sizes[0] if finest or num_levels == 1 else sizes[1]
        assert (fused.shape[2:], mask.shape[2:]) == (size, size)
        assert len(fusion.steps) == number


def padded(memory, sizes, padded_sizes):
    """Places each level in the corner of a larger one, filled with garbage."""
    levels, masks = [], []
    lengths = [h * w for h, w in sizes]
    for level, (h, w), (ph, pw) in zip(
        memory.split(lengths, 1), sizes, padded_sizes, strict=True
    ):
        canvas = torch.full((1, ph, pw, 32), torch.inf)
        canvas[:, :h, :w] = level.unflatten(1, (h, w))
        mask = torch.ones(1, ph, pw, dtype=torch.bool)
        mask[:, :h, :w] = False
        levels.append(canvas.flatten(1, 2)), masks.append(mask.flatten(1))
    return torch.cat(levels, 1), torch.cat(masks, 1)


@pytest.mark.parametrize('finest', [False, True])
@pytest.mark.parametrize('num_levels', [1, 2, 3, 4])
@pytest.mark.parametrize('small', [(5, 7), (12, 16), (1, 1), (3, 16)])
def test_a_query_does_not_depend_on_the_padding_of_its_image(num_levels, small, finest):
    def ceil_pyramid(h, w):
        sizes = []
        for _ in range(num_levels):
            sizes.append((h, w))
            h, w = (h + 1) // 2, (w + 1) // 2
        return sizes

    module = generator(num_levels, finest=finest)
    sizes, large = ceil_pyramid(*small), ceil_pyramid(13, 18)
    memory = memory_of(sizes)
    alone = module(memory, sizes)
    corner, mask = padded(memory, sizes, large)
    other = memory_of(large, 5)
    batched = module(
        torch.cat((corner, other)),
        large,
        torch.cat((mask, torch.zeros_like(mask))),
    )
    torch.testing.assert_close(batched[:1], alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(batched[1:], module(other, large), rtol=1e-5, atol=1e-6)


def test_masked_mean_by_hand_and_without_any_valid_position():
    x = torch.tensor([[[[1.0, 3.0, 0.0]]], [[[0.0, 0.0, 0.0]]]])
    valid = torch.tensor([[[[1.0, 1.0, 0.0]]], [[[0.0, 0.0, 0.0]]]])
    assert masked_mean(x, valid, (2, 3)).flatten().tolist() == [2.0, 0.0]


def test_channel_attention_against_a_loop():
    torch.manual_seed(0)
    module = EfficientChannelAttention(kernel_size=3)
    x = torch.randn(2, 5, 3, 4)
    output = module(x, torch.ones(2, 1, 3, 4))
    kernel = module.conv.weight.flatten()
    for image in range(2):
        means = F.pad(x[image].mean((1, 2)), (1, 1))
        for channel in range(5):
            gate = torch.sigmoid((kernel * means[channel : channel + 3]).sum())
            expected = x[image, channel] * gate
            torch.testing.assert_close(output[image, channel], expected)


def test_coordinate_attention_against_a_loop():
    torch.manual_seed(0)
    module = CoordinateAttention(16, reduction=2)
    x = torch.randn(2, 16, 3, 4)
    output = module(x, torch.ones(2, 1, 3, 4))

    def gate(line, head):
        return head(F.hardswish(module.norm(module.squeeze(line)))).sigmoid()

    for row in range(3):
        for column in range(4):
            expected = x[:, :, row, column]
            expected = expected * gate(x[:, :, row].mean(-1), module.row_gate)
            expected = expected * gate(x[..., column].mean(-1), module.column_gate)
            torch.testing.assert_close(output[:, :, row, column], expected)


@pytest.mark.parametrize(
    'setting, words',
    [
        (dict(num_patterns=0), 'num_patterns is 0'),
        (dict(num_patterns=7), 'from 1 to 6'),
        (dict(num_patterns=2.5), 'num_patterns is 2.5'),
        (dict(hidden_dims=0), 'hidden_dims is 0'),
        (dict(diversity_weight=-0.1), 'diversity_weight is -0.1'),
        (dict(diversity_weight=math.nan), 'diversity_weight is nan'),
        (dict(finest='yes'), "finest is 'yes': use True or False"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(setting, words):
    with pytest.raises(ConfigError, match=words) as error:
        generator(**setting)
    assert str(error.value).endswith('.') and '\n' not in str(error.value)


def test_settings_of_the_detector_cannot_be_overridden():
    pattern_query = dict(num_patterns=2, num_levels=1)
    with pytest.raises(ConfigError, match='num_levels is set by the detector'):
        build(host_config('dino', pattern_query=pattern_query))


def test_static_content_is_the_same_for_all_images():
    content = dict(type='StaticContent')
    detector = build(host_config('deformable_two_stage', pattern_query=content))
    generator = detector.pattern_query_generator
    memory = torch.cat((memory_of(SIZES), memory_of(SIZES, 1)))
    expected = generator.content.weight.expand(2, -1, -1)
    assert torch.equal(generator(memory, level_sizes=SIZES), expected)
    # Uniform within +-sqrt(6 / (nq + dim)), as mmdet's DINO starts.
    bound = math.sqrt(6 / sum(generator.content.weight.shape))
    assert 0.9 * bound < generator.content.weight.abs().max() <= bound
    losses = run_loss(detector, make_batch([2, 1]))
    assert 'loss_pattern_diversity' not in losses
    total_loss(losses).backward()
    assert generator.content.weight.grad.abs().sum() > 0
