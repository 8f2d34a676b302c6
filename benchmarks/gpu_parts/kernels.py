"""Deformable attention: mmcv's compiled kernel against the PyTorch code beside it."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor

from mmdet_qrpaq.analysis.cost.timing import interleave, stopwatch, summary

if TYPE_CHECKING:
    from benchmarks.gpu import Plan

HEADS, WIDTH, POINTS = 8, 32, 4
DTYPES = dict(fp32=torch.float32, fp16=torch.float16, bf16=torch.bfloat16)
NAMES = ('value', 'locations', 'weights')


def make_inputs(
    batch: int, queries: int, sides: list[int], device: str, dtype: torch.dtype
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return value, locations and weights, the levels' sizes and their starts.

    Args:
        queries: 0 is as many as there are keys, as in an encoder.
        sides: Of the square levels.
    """
    rng = torch.Generator().manual_seed(0)
    shapes = torch.tensor([[side, side] for side in sides])
    keys = int(shapes.prod(1).sum())
    points = (batch, queries or keys, HEADS, len(sides), POINTS)
    inputs = [
        torch.randn(batch, keys, HEADS, WIDTH, generator=rng),
        torch.rand(*points, 2, generator=rng) * 1.2 - 0.1,  # some fall outside
        torch.rand(points, generator=rng).flatten(3).softmax(-1).view(points),
    ]
    starts = torch.cat((shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]))
    moved = [x.to(device, dtype).requires_grad_() for x in inputs]
    return moved, shapes.to(device), starts.to(device)


def compiled(inputs: list[Tensor], shapes: Tensor, starts: Tensor) -> Tensor:
    """Return (bs, queries, channels) of mmcv's kernel; of PyTorch's on a CPU."""
    value, locations, weights = inputs
    if not value.is_cuda:  # mmcv has none there
        return plain(inputs, shapes, starts)
    return MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, locations, weights, 64
    )


def plain(inputs: list[Tensor], shapes: Tensor, starts: Tensor) -> Tensor:
    """Return the same of the PyTorch code."""
    value, locations, weights = inputs
    return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)


def gradients(attend: Callable, inputs: list[Tensor], *levels: Tensor) -> list[Tensor]:
    """Return output and gradients of the inputs, for one random gradient."""
    output = attend(inputs, *levels)
    rng = torch.Generator().manual_seed(1)
    given = torch.randn(output.shape, generator=rng).to(output)
    return [output, *torch.autograd.grad(output, inputs, given)]


def errors(inputs: list[Tensor], *levels: Tensor) -> dict[str, float]:
    """Return largest differences to double precision, over its largest number."""
    doubles = [x.detach().double().requires_grad_() for x in inputs]
    found = gradients(compiled, inputs, *levels)
    right = gradients(plain, doubles, *levels)
    return {
        name: ((a.double() - b).abs().max() / b.abs().max()).item()
        for name, a, b in zip(('output', *NAMES), found, right, strict=True)
    }


def measure(plan: 'Plan') -> dict:
    """Compare at the sizes of DINO's encoder and decoder, 640 x 640, batch 4."""
    sides, batch = ([80, 40, 20, 10], 4) if not plan.small else ([8, 4], 1)
    measured: dict = dict(batch=batch, sides=sides, runs=[])
    for part, queries in (('encoder', 0), ('decoder', 900 if not plan.small else 9)):
        for name, dtype in DTYPES.items():
            if plan.device == 'cpu' and name == 'fp16':
                continue  # grid_sample has none there
            run = dict(part=part, precision=name)
            measured['runs'].append(run)
            try:
                inputs, *levels = make_inputs(batch, queries, sides, plan.device, dtype)
                run['errors'] = errors(inputs, *levels)
                run.update(time_both(plan, inputs, *levels))
            except RuntimeError as error:  # no kernel for this type
                run['error'] = str(error).splitlines()[0]
            plan.write(measured)
    return measured


def time_both(plan: 'Plan', inputs: list[Tensor], *levels: Tensor) -> dict:
    """Return seconds of both, forward and with gradients."""
    turns = {
        f'{name}_{kind}': partial(function, inputs, *levels)
        for name, attend in (('compiled', compiled), ('plain', plain))
        for kind, function in (
            ('forward', attend),
            ('both_ways', partial(gradients, attend)),
        )
    }
    seconds: dict[str, list] = {name: [] for name in turns}
    for repeat, order in enumerate(interleave(list(turns), 2 + plan.repeats)):
        for name in order:
            spent, _ = stopwatch(turns[name])
            if repeat >= 2:
                seconds[name].append(spent)
    return dict(seconds={name: summary(values) for name, values in seconds.items()})
