"""Time the ways to compute deformable attention on the CPU, interleaved.

Called by `attention.py`, which has the protocol.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch import Tensor

from mmdet_qrpaq.analysis.cost.timing import (
    interleave,
    peak_memory,
    stopwatch,
    summary,
)
from mmdet_qrpaq.ops import deformable_attention
from mmdet_qrpaq.ops.padded_levels import PaddedLevels
from mmdet_qrpaq.ops.weighted_rows import bags, locate

HEADS, DIM, POINTS = 8, 32, 4
STRIDES = (8, 16, 32, 64)
WARM_UP = 1
MODES = ('predict', 'train')


class Case(NamedTuple):
    """What is timed.

    Attributes:
        part: `'encoder'` or `'decoder'`.
        size: Side of the image in pixels.
        queries: None: every pixel of all levels.
    """

    part: str
    size: int
    batch: int
    queries: int | None


def with_torchs_backward(
    value: Tensor, sizes: Tensor, locations: Tensor, attention: Tensor
) -> Tensor:
    """Do what `deformable_attention` does, differentiated by torch alone."""
    levels = PaddedLevels(tuple(map(tuple, sizes.tolist())))
    points = locate(locations, levels)
    rows, weights = bags(points, attention.flatten(3) * points.inside, levels)
    table = levels.pad(value).flatten(0, 2)
    sums = F.embedding_bag(rows, table, mode='sum', per_sample_weights=weights)
    return sums.view(*locations.shape[:2], -1)


WAYS: dict[str, Callable[..., Tensor]] = {
    'grid_sample': multi_scale_deformable_attn_pytorch,
    'embedding_bag': deformable_attention,
    "torch's backward": with_torchs_backward,
}


def make_inputs(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return value, sizes of levels, locations and attention weights."""
    rng = torch.Generator().manual_seed(0)
    sides = [-(-case.size // stride) for stride in STRIDES]
    if case.queries is None:
        grids = [(torch.arange(side) + 0.5) / side for side in sides]
        centres = [torch.cartesian_prod(grid, grid).flip(-1) for grid in grids]
        places = torch.cat(centres).expand(case.batch, -1, -1)
    else:
        places = torch.rand(case.batch, case.queries, 2, generator=rng)
    bs, nq, _ = places.shape
    samples = (bs, nq, HEADS, len(sides), POINTS)
    offsets = 2 * torch.randn(*samples, 2, generator=rng)
    locations = places[:, :, None, None, None] + offsets / torch.tensor(sides).view(
        -1, 1, 1
    )
    value = torch.randn(bs, sum(side**2 for side in sides), HEADS, DIM, generator=rng)
    attention = torch.randn(*samples, generator=rng).flatten(3).softmax(-1)
    sizes = torch.tensor([(side, side) for side in sides])
    return value, sizes, locations, attention.view(samples)


def predict(way: str, inputs: tuple[Tensor, ...]) -> Tensor:
    """Return the output, without gradients."""
    with torch.no_grad():
        return WAYS[way](*inputs)


def train(way: str, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the gradients of value, locations and attention weights."""
    leaves = [part for part in inputs if part.is_floating_point()]
    for leaf in leaves:
        leaf.requires_grad_().grad = None
    output = WAYS[way](*inputs)
    output.backward(torch.ones_like(output))
    return [leaf.grad for leaf in leaves]


def check_equal(inputs: tuple[Tensor, ...]) -> dict[str, float]:
    """Return the largest differences to mmcv's outputs and gradients.

    Raises:
        RuntimeError: If they are more than the protocol allows.
    """
    output = gradient = 0.0
    expected, theirs = (step('grid_sample', inputs) for step in (predict, train))
    for way in WAYS:
        output = max(output, (predict(way, inputs) - expected).abs().max().item())
        for mine, other in zip(train(way, inputs), theirs, strict=True):
            gradient = max(gradient, ((mine - other).norm() / other.norm()).item())
    if not (output <= 1e-5 and gradient <= 1e-6):  # NaN as well
        raise RuntimeError(
            f'outputs differ by {output:.2g}, gradients by {gradient:.2g}: nothing was '
            'timed.'
        )
    return dict(output=output, gradient=gradient)


def steps(repeats: int) -> int:
    """Return steps of `measure`, warm-up included."""
    return len(MODES) * (WARM_UP + repeats)


def measure(
    case: Case, repeats: int, advance: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Time all ways in one case.

    Args:
        repeats: At least 2.
        advance: Called after each of `steps(repeats)`.
    """
    inputs = make_inputs(case)
    measured = dict(case._asdict(), largest_difference=check_equal(inputs))
    for mode, step in zip(MODES, (predict, train), strict=True):
        seconds = {way: [] for way in WAYS}
        for repeat, order in enumerate(interleave(list(WAYS), WARM_UP + repeats)):
            for way in order:
                spent, _ = stopwatch(step, way, inputs)
                if repeat >= WARM_UP:
                    seconds[way].append(spent)
            advance()
        measured[mode] = {
            way: dict(
                best_seconds=min(spent),
                seconds=summary(spent),
                ratio=summary(
                    [a / b for a, b in zip(spent, seconds['grid_sample'], strict=True)]
                ),
            )
            for way, spent in seconds.items()
        }
    for way in WAYS:
        train(way, inputs)
        measured['train'][way]['memory_bytes'] = peak_memory(
            lambda way=way: train(way, inputs), 'cpu'
        )
    return measured
