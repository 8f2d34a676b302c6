"""What the deformable cross-attention of a decoder samples, taken while it runs."""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn

from ...errors import ConfigError
from ..matching import require_places


def require_deformable(detector: nn.Module) -> None:
    """Refuse a detector whose decoder has no sampling points, or keeps no order.

    Raises:
        ConfigError: Its decoder has no deformable cross-attention, or its routing puts
            queries together in another order.
    """
    layers = getattr(getattr(detector, 'decoder', None), 'layers', [])
    attentions = [getattr(layer, 'cross_attn', None) for layer in layers]
    if not attentions or not all(
        isinstance(attention, MultiScaleDeformableAttention) for attention in attentions
    ):
        raise ConfigError(
            f'there are no sampling points to show: the decoder of this '
            f'{type(detector).__name__} has no deformable cross-attention; give a '
            'Deformable-DETR, a DINO or one of their kind.'
        )
    require_places(detector)


@contextmanager
def taking_samples(detector: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Yield a list that holds `sampling_of` each decoder layer, in order, after a call.

    Routed layers run all queries meanwhile, which gives the same results, so that a
    query has the same place everywhere.
    """
    layers = detector.decoder.layers
    taken: list = [None] * len(layers)

    def take(number: int, module: nn.Module, args: tuple, kwargs: dict) -> None:
        call = inspect.signature(module.forward).bind(*args, **kwargs)
        given = call.arguments | call.arguments.get('kwargs', {})
        taken[number] = sampling_of(module, given)

    with ExitStack() as stack:
        for number, layer in enumerate(layers):
            taking, attention = partial(take, number), layer.cross_attn
            hook = attention.register_forward_pre_hook(taking, with_kwargs=True)
            stack.enter_context(hook)
        for layer in getattr(detector, 'routed_layers', ()):
            stack.callback(setattr, layer, 'settings', layer.settings)
            layer.settings = replace(layer.settings, executor='dense')
        yield taken


def sampling_of(
    attention: MultiScaleDeformableAttention, arguments: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return where a call of deformable attention takes its samples, and their weights.

    Args:
        arguments: Of the call, by name.

    Shapes:
        returns: (bs, n, heads, levels, points, 2), x and y in [0, 1] of the padded
            image; (bs, n, heads, levels, points)
    """
    query, position = arguments['query'], arguments.get('query_pos')
    if position is not None:
        query = query + position
    if not attention.batch_first:
        query = query.transpose(0, 1)
    samples = (attention.num_levels, attention.num_points)
    shape = (*query.shape[:2], attention.num_heads, *samples)
    weights = attention.attention_weights(query).view(*shape[:3], -1).softmax(-1)
    offsets = attention.sampling_offsets(query).view(*shape, 2)
    references = arguments['reference_points'][:, :, None, :, None]
    if references.shape[-1] == 2:  # offsets in cells of a level
        unit = 1 / arguments['spatial_shapes'].flip(-1)[:, None]
    else:  # in halves of the reference box, which the points share
        unit = references[..., 2:] * 0.5 / attention.num_points
    return references[..., :2] + offsets * unit, weights.view(shape)
