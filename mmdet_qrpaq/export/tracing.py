"""Lets torch's exporter follow mmdet's code where sizes are symbols.

mmdet keeps the sizes of feature levels in a tensor, whose numbers an exporter cannot
know. Here they stay what they are in a graph, `torch.SymInt`; nothing of mmdet is
changed for anybody else.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..ops.attention import CLASSES
from ..temporary_attribute import temporary_attribute

Sizes = list[tuple[int, int]]


class Recordable(TorchFunctionMode):
    """Answers for calls that ask a symbol for its number, or that ONNX lacks."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function is torch._shape_as_tensor:
            return size_tensor(args[0].shape, torch.int64)
        if function is Tensor.new_tensor and isinstance(args[1], tuple):
            # It would silently take the example that stands for a symbol.
            return size_tensor(args[1], args[0].dtype)
        if function is torch.tensor and args and isinstance(args[0], list):
            return torch.stack([size_tensor(row, torch.int64) for row in args[0]])
        if function is torch.linspace:
            # mmdet's start, end and number of steps: all of them one apart.
            start, _, steps = args
            return start + torch.arange(steps, **kwargs)
        if function is Tensor.__len__ and not isinstance(args[0].shape[0], int):
            return 0  # Python wants a number; mmdet's DINO compares it with `nq` alone
        if function is Tensor.view and args[1:] == (torch.uint8,):
            return args[0].to(torch.uint8)  # of booleans
        if kwargs.pop('stable', False):
            # ONNX has no stable sort, but its TopK takes the first of equals.
            keys = args[0] if args[0].is_floating_point() else args[0].int()
            result = keys.topk(keys.shape[1], 1, largest=kwargs['descending'])
            return result.indices if function is Tensor.argsort else result
        if function is F.interpolate and kwargs.get('scale_factor') is not None:
            factor = kwargs.pop(
                'scale_factor'
            )  # a symbol is no factor, but gives a size
            factors = factor if isinstance(factor, tuple) else (factor, factor)
            sides = zip(args[0].shape[-2:], factors, strict=True)
            kwargs['size'] = [side * whole for side, whole in sides]
        return function(*args, **kwargs)


class TracedAttention(MultiScaleDeformableAttention):
    """mmcv's deformable attention over levels whose sizes are symbols."""

    def forward(
        self,
        query: Tensor,
        *,
        value: Tensor | None = None,
        query_pos: Tensor | None = None,
        reference_points: Tensor,
        spatial_shapes: Sizes,
        **others: Any,
    ) -> Tensor:
        """Attend and add the query, without any padding.

        Shapes:
            query, query_pos, returns: (bs, nq, dim)
            value: (bs, sum h w, dim)
            reference_points: (bs, nq, levels, 2 or 4)
        """
        identity = query
        value = query if value is None else value
        query = query if query_pos is None else query + query_pos
        bs, nq, _ = query.shape
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        value = self.value_proj(value)
        dim = value.shape[-1] // heads
        offsets = self.sampling_offsets(query)
        offsets = offsets.view(bs, nq, heads, levels, points, 2)
        weights = self.attention_weights(query).view(bs, nq, heads, levels * points)
        weights = weights.softmax(-1).transpose(1, 2).reshape(bs * heads, 1, nq, -1)
        reference = reference_points[:, :, None, :, None]
        if reference.shape[-1] == 2:
            sides = torch.stack([size_tensor((w, h)) for h, w in spatial_shapes])
            places = reference + offsets / sides[:, None]
        else:
            places = reference[..., :2] + offsets / points * reference[..., 2:] * 0.5
        grids = (2 * places - 1).transpose(1, 2).flatten(0, 1).unbind(2)
        maps = value.transpose(1, 2).reshape(bs * heads, dim, -1)
        maps = maps.split([h * w for h, w in spatial_shapes], 2)
        samples = [
            F.grid_sample(
                level.reshape(bs * heads, dim, *size), grid, align_corners=False
            )
            for level, grid, size in zip(maps, grids, spatial_shapes, strict=True)
        ]
        output = (torch.cat(samples, -1) * weights).sum(-1)
        output = output.view(bs, heads * dim, nq).transpose(1, 2)
        return self.output_proj(output) + identity


def size_tensor(sizes: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    """Return numbers, which may be symbols, as a tensor (n,)."""
    return torch.stack([torch.scalar_tensor(size, dtype=dtype) for size in sizes])


@contextmanager
def traceable(detector: nn.Module) -> Iterator[None]:
    """Let a detector of mmdet run on symbols, for as long as it is recorded."""
    host = detector.pre_transformer
    with ExitStack() as stack:
        change = partial(temporary_attribute, detector, 'pre_transformer')
        stack.enter_context(change(partial(_with_plain_sizes, host)))
        for module in detector.modules():
            if type(module) in CLASSES.values():
                stack.callback(setattr, module, '__class__', type(module))
                module.__class__ = TracedAttention
        yield


def _with_plain_sizes(
    host: Callable, features: tuple[Tensor, ...], samples: list
) -> tuple[dict, dict]:
    """Prepare encoder and decoder as the host does, but for the sizes of levels."""
    prepared = host(features, samples)
    for inputs in prepared:
        if 'spatial_shapes' in inputs:
            inputs['spatial_shapes'] = [tuple(f.shape[-2:]) for f in features]
    return prepared
