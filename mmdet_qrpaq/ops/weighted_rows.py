"""Multi-scale deformable attention on the CPU as a weighted sum of rows.

Deformable-DETR Eq. 3 (arXiv 2010.04159): each sampled value is a bilinear mean of four
pixels, so each query and head is a sum of `4 * levels * points` rows of the value
table, weighted by bilinear weight times attention: `torch.nn.functional.embedding_bag`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch import Tensor
from torch.autograd.function import Function, FunctionCtx, once_differentiable

from .padded_levels import PaddedLevels
from .tracing import is_traced

# Rows and entries of bags that can be told apart by 32 bits, which are read faster.
INT32_LIMIT = 2**31 - 1


class Points(NamedTuple):
    """Where sampling points lie; `samples` are levels x points.

    Attributes:
        cell: (bs, nq, heads, samples), see `PaddedLevels`; counts on through heads and
            images.
        place: (bs, nq, heads, samples, 2), x and y in the cell, in [0, 1).
        inside: (bs, nq, heads, samples), False where no corner of the cell is a pixel.
    """

    cell: Tensor
    place: Tensor
    inside: Tensor


def deformable_attention(
    value: Tensor,
    spatial_shapes: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Do what mmcv's `multi_scale_deformable_attn_pytorch` does, sooner.

    That function itself is called off the CPU, while a graph is recorded, where a level
    has no pixel, and for locations in half precision. Values in half precision are
    cast to the precision of the locations, as under autocast they are there.

    Shapes:
        value: (bs, sum h w, heads, dim)
        spatial_shapes: (levels, 2), h and w
        sampling_locations: (bs, nq, heads, levels, points, 2), x and y in [0, 1]
        attention_weights: (bs, nq, heads, levels, points)
        returns: (bs, nq, heads * dim)
    """
    dtype = sampling_locations.dtype
    given = (value, sampling_locations, attention_weights)
    if (
        any(type(tensor) is not Tensor or not tensor.is_cpu for tensor in given)
        or is_traced()
        or dtype not in (torch.float32, torch.float64)
        or attention_weights.dtype != dtype
        or torch.promote_types(value.dtype, dtype) != dtype
        or not attention_weights.numel()
        or not spatial_shapes.all()
    ):
        return multi_scale_deformable_attn_pytorch(
            value, spatial_shapes, sampling_locations, attention_weights
        )
    levels = PaddedLevels(tuple(map(tuple, spatial_shapes.tolist())))
    return _WeightedRows.apply(
        value.to(dtype), sampling_locations, attention_weights, levels
    )


def locate(locations: Tensor, levels: PaddedLevels) -> Points:
    """Return where sampling points lie.

    Shapes:
        locations: (bs, nq, heads, levels, points, 2), x and y in [0, 1]
    """
    bs, nq, heads, _, points, _ = locations.shape
    rows = levels.ends[-1]
    entries = max(bs * heads * rows, 2 * locations.numel())
    index = torch.int32 if entries <= INT32_LIMIT else torch.int64

    def each_sample(of_levels: list, dtype: torch.dtype) -> Tensor:
        # As long as the inner dimensions together: short ones are slow to broadcast.
        numbers = locations.new_tensor(of_levels, dtype=dtype)
        return numbers.repeat_interleave(points, 0).repeat(heads, 1)

    size = each_sample([(w, h) for h, w in levels.shapes], locations.dtype).view(-1)
    # The steps of `grid_sample`, so that a point on an edge falls on the same side.
    grid = (2 * locations.reshape(bs, nq, -1) - 1).add_(1)
    place = torch.addcmul(grid.new_tensor(-0.5), grid, size / 2)
    pixel = place.detach().floor()
    in_x, in_y = ((pixel >= -1) & (pixel < size)).view(bs, nq, heads, -1, 2).unbind(-1)
    # Held in the table whatever a location may be; infinite ones and NaN have no cell.
    cell = pixel.to(index).add_(1)
    cell = torch.minimum(cell.clamp_(min=0), size.to(index)).view(bs, nq, -1, 2)
    lines = each_sample([(1, w + 1) for _, w in levels.shapes], index)
    start = each_sample([(row,) for row in levels.starts], index).view(-1)
    cell = (cell[..., 0] + cell[..., 1] * lines[:, 1] + start).view(bs, nq, heads, -1)
    table = torch.arange(bs * heads, dtype=index, device=cell.device)
    cell += rows * table.view(bs, 1, heads, 1)
    return Points(cell, place.sub_(pixel).view(*cell.shape, 2), in_x & in_y)


def bags(
    points: Points, attention: Tensor, levels: PaddedLevels
) -> tuple[Tensor, Tensor]:
    """Return the rows that each query and head sums up, and the weights.

    Shapes:
        attention: (bs, nq, heads, samples)
        returns: both (bs * nq * heads, 4 * samples); corners as in `PaddedLevels`
    """
    samples = attention.shape[-1]
    width = points.cell.new_tensor([w for _, w in levels.shapes])
    width = width.repeat_interleave(samples // len(width))
    corners = torch.stack((0 * width, 0 * width + 1, width + 1, width + 2))
    rows = points.cell.unsqueeze(3) + corners
    x, y = points.place.unbind(-1)
    lower = attention * y
    upper = attention - lower
    upper_right, lower_right = upper * x, lower * x
    weights = torch.stack(
        (upper - upper_right, upper_right, lower - lower_right, lower_right), 3
    )
    return rows.view(-1, 4 * samples), weights.view(-1, 4 * samples)


class _WeightedRows(Function):
    """The sum of rows with a backward of its own.

    It is quicker than torch's at every size that was timed, encoders and decoders
    (docs/speed.md): torch's adds row by row, and differentiates each step that makes
    the weights. Here the gradient of the table is `embedding_bag` once more, with rows
    and bags exchanged by one sort, and the weights' are three products of differences.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        value: Tensor,
        locations: Tensor,
        attention: Tensor,
        levels: PaddedLevels,
    ) -> Tensor:
        points = locate(locations, levels)
        attention = attention.flatten(3) * points.inside
        table = levels.pad(value)
        rows, weights = bags(points, attention, levels)
        ctx.levels = levels
        ctx.save_for_backward(table, attention, *points)
        sums = F.embedding_bag(
            rows, table.flatten(0, 2), mode='sum', per_sample_weights=weights
        )
        return sums.view(*locations.shape[:2], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, attention, *points = ctx.saved_tensors
        points, levels = Points(*points), ctx.levels
        rows, weights = bags(points, attention, levels)
        grad = grad.reshape(len(rows), -1).contiguous()  # an expanded one is slow
        of_weights = _gradient_of_weights(grad, table.flatten(0, 2), rows)
        upper_left, upper_right, lower_left, lower_right = of_weights.view(
            *attention.shape[:3], 4, -1
        ).unbind(3)
        x, y = points.place.unbind(-1)
        upper, lower = upper_right - upper_left, lower_right - lower_left
        of_x = torch.lerp(upper, lower, y).mul_(attention)
        upper = torch.addcmul(upper_left, upper, x)
        of_y = torch.addcmul(lower_left, lower, x).sub_(upper)
        of_attention = torch.addcmul(upper, of_y, y).mul_(points.inside)
        shape = (*attention.shape[:3], len(levels.shapes), -1)
        size = grad.new_tensor([(w, h) for h, w in levels.shapes])
        of_locations = torch.stack((of_x, of_y.mul_(attention)), -1).view(*shape, 2)
        return (
            levels.unpad(
                _gradient_of_table(grad, table, points, rows, weights, levels)
            ),
            of_locations * size[:, None],
            of_attention.view(shape),
            None,
        )


def _gradient_of_weights(grad: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Return the product of each row and the gradient of the bag it is in.

    Shapes:
        grad: (bags, dim)
        table: (all rows, dim)
        rows, returns: (bags, n)
    """
    bag = torch.arange(len(rows), dtype=rows.dtype, device=rows.device)
    return torch.ops.aten._embedding_bag_per_sample_weights_backward(
        grad,
        table,
        rows.view(-1),
        bag * rows.shape[1],
        bag.repeat_interleave(rows.shape[1]),
        0,  # mode 'sum'
    )


def _gradient_of_table(
    grad: Tensor,
    table: Tensor,
    points: Points,
    rows: Tensor,
    weights: Tensor,
    levels: PaddedLevels,
) -> Tensor:
    """Return for each row the weighted sum of the gradients of the bags that it is in.

    If there are fewer points than rows, a pass over the rows costs more than sorting.

    Shapes:
        grad: (bags, dim)
        table, returns: (bs, heads, rows, dim)
        rows, weights: (bags, 4 * samples)
    """
    num_rows = table.shape[:3].numel()
    if points.cell.numel() < num_rows:
        return _exchange(rows, num_rows, grad)(weights).view(table.shape)
    sum_by_cell = _exchange(points.cell.flatten(0, 2), num_rows, grad)
    corners = weights.view(len(rows), 4, -1).unbind(1)
    return levels.add_corners(sum_by_cell(each).view(table.shape) for each in corners)


def _exchange(index: Tensor, size: int, grad: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the operation with rows and bags exchanged, as a function of the weights.

    Shapes:
        index, weights: (bags, n)
        grad: (bags, dim)
        returns: (size, dim), for each number below `size` the sum over all bags that
            hold it
    """
    numbers, order = index.flatten().sort()
    every = torch.arange(size, dtype=index.dtype, device=index.device)
    starts = torch.searchsorted(numbers, every, out_int32=index.dtype == torch.int32)
    bag = order.div(index.shape[1], rounding_mode='floor').to(index.dtype)
    return lambda weights: F.embedding_bag(
        bag, grad, starts, mode='sum', per_sample_weights=weights.flatten()[order]
    )
