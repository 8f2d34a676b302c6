"""Deformable attention by `embedding_bag` against mmcv's by `grid_sample`."""

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch.autograd.graph import saved_tensors_hooks

from mmdet_qrpaq.ops import deformable_attention, weighted_rows
from operators_run import Operators

LEVELS = [(7, 10), (4, 5), (2, 3), (1, 1)]


def make_inputs(levels, bs=2, nq=9, heads=2, points=3, dim=4, dtype=torch.float32):
    """Value, sizes, locations (a quarter of them outside the map), weights."""
    torch.manual_seed(0)
    value = torch.randn(bs, sum(h * w for h, w in levels), heads, dim, dtype=dtype)
    locations = torch.rand(bs, nq, heads, len(levels), points, 2, dtype=dtype) * 1.2
    weights = torch.rand(bs, nq, heads, len(levels), points, dtype=dtype)
    return value, torch.tensor(levels), locations - 0.1, weights


def gradients(function, value, sizes, locations, weights):
    """Output, then gradients of value, locations and weights."""
    leaves = [part.clone().requires_grad_() for part in (value, locations, weights)]
    output = function(leaves[0], sizes, *leaves[1:])
    factors = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    (output * factors.to(output.dtype)).sum().backward()
    return output.detach(), *(leaf.grad for leaf in leaves)


def assert_same(*inputs):
    """Outputs within 1e-5, gradients within 1e-6 of the size of theirs."""
    output, *grads = gradients(deformable_attention, *inputs)
    expected, *theirs = gradients(multi_scale_deformable_attn_pytorch, *inputs)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    for grad, other in zip(grads, theirs, strict=True):
        assert grad.dtype == other.dtype and grad.shape == other.shape
        error = max(1e-6, torch.finfo(grad.dtype).eps)
        assert (grad - other).norm() <= error * other.norm()


def test_by_hand():
    """Between four pixels their mean, on a pixel itself, half out half of it."""
    value = torch.tensor([1.0, 2, 3, 4]).view(1, 4, 1, 1)
    places = torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.25, 0.0], [1.3, 0.5]])
    locations = places.view(1, 4, 1, 1, 1, 2)
    with Operators() as ran:
        found = deformable_attention(
            value, torch.tensor([[2, 2]]), locations, torch.ones(1, 4, 1, 1, 1)
        )
    assert found.flatten().tolist() == [2.5, 2.0, 0.5, 0.0]
    assert '_embedding_bag' in str(ran.names) and 'grid_sampler_2d' not in ran.names


@pytest.mark.parametrize('bs', [1, 2])
@pytest.mark.parametrize('levels', [LEVELS, LEVELS[:1], LEVELS[-1:]], ids=str)
@pytest.mark.parametrize('nq', [1, 40])  # fewer points than rows, and more
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_same_outputs_and_gradients(levels, bs, nq, dtype):
    assert_same(*make_inputs(levels, bs, nq, dtype=dtype))


def test_same_at_pixels_edges_and_borders():
    """Where a cell ends the gradient jumps: the same side must be taken."""
    h, w = 12, 21
    value, sizes, *_ = make_inputs([(h, w)], bs=1)
    columns = torch.arange(-2, 2 * w + 3) / (2 * w)  # edges and centres, and outside
    rows = torch.arange(-2, 2 * h + 3) / (2 * h)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing='xy'), -1)
    locations = grid.view(1, -1, 1, 1, 1, 2).expand(-1, -1, 2, -1, 1, -1)
    assert_same(value, sizes, locations, torch.ones(locations.shape[:-1]))


@pytest.mark.parametrize('place', [-1e4, 1e4, -3e9, 3e9, 1e30])
def test_far_away_is_nothing(place):
    value, sizes, locations, weights = make_inputs(LEVELS)
    locations[0, 3] = place
    assert_same(value, sizes, locations, weights)
    assert (deformable_attention(value, sizes, locations, weights)[0, 3] == 0).all()


@pytest.mark.parametrize('place', [float('nan'), float('inf'), -float('inf')])
def test_what_is_no_number_stays_in_its_query(place):
    """A training that diverged must end as it does with the host, not in a crash."""
    value, sizes, locations, weights = make_inputs(LEVELS)
    locations[0, 3, 0, 1, 2, 0] = place
    output, *grads = gradients(deformable_attention, value, sizes, locations, weights)
    expected = multi_scale_deformable_attn_pytorch(value, sizes, locations, weights)
    torch.testing.assert_close(output, expected, equal_nan=True, rtol=0, atol=1e-5)
    assert output[0, 3].isnan().any() and not output[1].isnan().any()


@pytest.mark.parametrize('nq', [1, 9])
def test_gradients_are_derivatives(nq):
    value, sizes, locations, weights = make_inputs(
        [(3, 4), (2, 1)], bs=1, nq=nq, points=2, dim=2, dtype=torch.float64
    )
    leaves = [part.requires_grad_() for part in (value, locations, weights)]
    assert torch.autograd.gradcheck(
        lambda value, *rest: deformable_attention(value, sizes, *rest), leaves
    )


def test_a_gradient_of_some_inputs_only():
    value, sizes, locations, weights = make_inputs(LEVELS)
    deformable_attention(
        value, sizes, locations.requires_grad_(), weights
    ).sum().backward()
    assert locations.grad.abs().sum() > 0 and value.grad is None


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_sums_in_single_precision_as_the_host(dtype):
    value, *rest = make_inputs(LEVELS)
    with torch.autocast('cpu', dtype):
        assert_same(value.to(dtype), *rest)
        output = deformable_attention(value.to(dtype), *rest)
    assert output.dtype == torch.float32


def outcome(function, *inputs):
    """What a call gives, or how it fails."""
    try:
        return function(*inputs)
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize(
    ('dtype', 'of_points'),
    [
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float16),
        (torch.float64, torch.float32),
    ],
)
def test_other_precisions_are_the_hosts(dtype, of_points):
    value, sizes, *rest = make_inputs(LEVELS)
    inputs = (value.to(dtype), sizes, *(part.to(of_points) for part in rest))
    found = outcome(deformable_attention, *inputs)
    expected = outcome(multi_scale_deformable_attn_pytorch, *inputs)
    if isinstance(expected, str):
        assert found == expected
    else:
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    'case', [dict(nq=0), dict(bs=0), dict(levels=[(3, 4), (0, 2)])], ids=str
)
def test_nothing_to_sum_is_the_hosts(case):
    inputs = make_inputs(**dict(dict(levels=LEVELS), **case))
    found = outcome(deformable_attention, *inputs)
    expected = outcome(multi_scale_deformable_attn_pytorch, *inputs)
    assert type(found) is type(expected)
    assert (
        found == expected if isinstance(found, str) else found.shape == expected.shape
    )


def test_tables_too_large_for_32_bits(monkeypatch):
    _, _, locations, weights = inputs = make_inputs(LEVELS)
    expected = gradients(deformable_attention, *inputs)
    levels = weighted_rows.PaddedLevels(tuple(LEVELS))
    entries = max(4 * weights.numel(), 2 * 2 * levels.ends[-1])
    monkeypatch.setattr(weighted_rows, 'INT32_LIMIT', entries)
    assert weighted_rows.locate(locations, levels).cell.dtype == torch.int32
    monkeypatch.setattr(weighted_rows, 'INT32_LIMIT', entries - 1)
    assert weighted_rows.locate(locations, levels).cell.dtype == torch.int64
    for found, other in zip(
        gradients(deformable_attention, *inputs), expected, strict=True
    ):
        assert torch.equal(found, other)


def test_another_default_device_is_none_of_its_business():
    inputs = make_inputs(LEVELS)
    expected = gradients(deformable_attention, *inputs)
    value, sizes, *rest = inputs
    leaves = [part.requires_grad_() for part in (value, *rest)]
    with torch.device('meta'):
        output = deformable_attention(leaves[0], sizes, *leaves[1:])
        output.backward(torch.ones_like(output))
    assert torch.equal(output, expected[0])


def test_nothing_is_kept_for_each_point_and_channel():
    value, *rest = make_inputs([(8, 8)], nq=256, points=4, dim=32)
    kept = []
    with saved_tensors_hooks(lambda part: kept.append(part) or part, lambda part: part):
        deformable_attention(value.requires_grad_(), *rest)
    assert kept
    assert max(part.numel() for part in kept) < 32 * rest[-1].numel() / 4


@pytest.mark.parametrize('record', ['trace', 'export'])
def test_a_recorded_graph_is_the_hosts(record):
    value, sizes, locations, weights = make_inputs(LEVELS)
    sizes = sizes.tolist()

    class Attention(torch.nn.Module):
        def forward(self, value, locations, weights):
            return deformable_attention(value, torch.tensor(sizes), locations, weights)

    inputs = (value, locations, weights)
    if record == 'trace':
        graph = torch.jit.trace(Attention(), inputs, check_trace=False).inlined_graph
    else:
        graph = torch.export.export(Attention(), inputs).graph
    assert 'grid_sampler' in str(graph) and 'embedding_bag' not in str(graph)


def test_other_devices_are_the_hosts(monkeypatch):
    value, sizes, locations, weights = make_inputs(LEVELS)
    called = []
    monkeypatch.setattr(
        weighted_rows,
        'multi_scale_deformable_attn_pytorch',
        lambda *inputs: called.append(inputs),
    )
    inputs = (value.to('meta'), sizes, locations.to('meta'), weights.to('meta'))
    deformable_attention(*inputs)
    assert [len(inputs) for inputs in called] == [4]
