"""Where the queries of a deformable DETR look, decoder layer by decoder layer.

Called by ``tools/analysis/sampling_points.py``, drawn by :mod:`.sampling_picture`. A
query of a layer takes one sample for each head, level and point of its deformable
cross-attention (Deformable-DETR, arXiv 2010.04159, Eq. 3); its weights add up to 1 in
each head. With query routing, a query that bypasses the cross-attention takes none.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.dataset import pseudo_collate
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...errors import ConfigError
from ..matching import require_places
from ..trained_detector import box_scale
from .result import LayerSampling, PictureSampling

# IoU of boxes above which two queries found one object.
SAME_OBJECT = 0.6


def sampling_of(
    attention: MultiScaleDeformableAttention, arguments: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return where a call of deformable attention takes its samples, and their weights.

    Args:
        arguments: Of the call, by name.

    Shapes:
        returns: (bs, n, heads, levels, points, 2), x and y in [0, 1] of the padded
            picture; (bs, n, heads, levels, points)
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
def observe_decoder(detector: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that holds what each decoder layer did, in order, after a call.

    Entries have ``points``, ``weights`` and, of a routed layer, ``enter`` (bs, nq).
    Routed layers run all queries meanwhile, which gives the same results, so that a
    query has the same place everywhere.
    """
    observed = [{} for _ in detector.decoder.layers]

    def attend(entry: dict, module: nn.Module, args: tuple, kwargs: dict) -> None:
        call = inspect.signature(module.forward).bind(*args, **kwargs)
        given = call.arguments | call.arguments.get('kwargs', {})
        entry['points'], entry['weights'] = sampling_of(module, given)

    def route(entry: dict, layer: nn.Module, *_: Any) -> None:
        entry['enter'] = layer.trace.enter  # the detector clears the trace later

    routed = getattr(detector, 'routed_layers', [])
    with ExitStack() as stack:
        for layer, entry in zip(detector.decoder.layers, observed, strict=True):
            handle = layer.cross_attn.register_forward_pre_hook(
                partial(attend, entry), with_kwargs=True
            )
            stack.callback(handle.remove)
            if any(layer is one for one in routed):
                handle = layer.register_forward_hook(partial(route, entry))
                stack.callback(handle.remove)
                stack.callback(setattr, layer, 'settings', layer.settings)
                layer.settings = replace(layer.settings, executor='dense')
        yield observed


def find_pictures(dataset: Dataset, names: Sequence[str]) -> list[int]:
    """Return the places of pictures in a data set, by the end of their paths.

    Raises:
        ConfigError: There is none of that name, or there are several.
    """
    paths = [
        str(dataset.get_data_info(index)['img_path']) for index in range(len(dataset))
    ]
    places = []
    for name in names:
        found = [n for n, path in enumerate(paths) if f'/{path}'.endswith(f'/{name}')]
        if not found:
            example = paths[0].rpartition('/')[2] if paths else 'none'
            raise ConfigError(
                f'--images: the data set has no picture {name}; give file names such '
                f'as {example}.'
            )
        if len(found) > 1:
            raise ConfigError(
                f'--images: {name} is {paths[found[0]]} and {paths[found[1]]}; give '
                'more of its path.'
            )
        places += found
    return places


def most_confident(boxes: Tensor, scores: Tensor, count: int) -> list[int]:
    """Return the queries with the highest scores, one for each object they found.

    Shapes:
        boxes: (nq, 4), x1, y1, x2, y2; scores: (nq,)
    """
    alike = (bbox_overlaps(boxes, boxes) > SAME_OBJECT).cpu()
    chosen: list[int] = []
    for query in scores.argsort(descending=True, stable=True).tolist():
        if len(chosen) < count and not alike[query, chosen].any():
            chosen.append(query)
    return chosen


@torch.no_grad()
def sample_pictures(
    detector: nn.Module,
    dataset: Dataset,
    indices: Sequence[int],
    *,
    num_queries: int = 3,
    queries: Sequence[int] | None = None,
) -> list[PictureSampling]:
    """Follow queries through the decoder on some pictures of a data set.

    Args:
        detector: In eval mode.
        indices: Of the pictures.
        num_queries: So many of the most confident queries of each picture, at least 1;
            of queries that found one object only the best, so there may be fewer.
        queries: Or exactly these.

    Raises:
        ConfigError: See `require_deformable`; or there is no such query or picture.
    """
    require_deformable(detector)
    last = detector.num_queries - 1
    if queries is not None and not all(0 <= query <= last for query in queries):
        raise ConfigError(f'--queries: the model has queries 0 to {last}.')
    if not indices or num_queries < 1:
        raise ConfigError('sampling points need at least one picture and one query.')
    classes = dataset.metainfo['classes']
    pictures = []
    for index in track(indices, 'following queries'):
        batch = detector.data_preprocessor(pseudo_collate([dataset[index]]), False)
        samples, inputs = batch['data_samples'], batch['inputs']
        with observe_decoder(detector) as observed:
            features = detector.extract_feat(inputs)
            transformed = detector.forward_transformer(features, samples)
            logits, boxes = (out[:, 0] for out in detector.bbox_head(**transformed)[:2])
        sigmoid = getattr(detector.bbox_head.loss_cls, 'use_sigmoid', False)
        scores = logits[-1].sigmoid() if sigmoid else logits[-1].softmax(-1)
        best, labels = scores[:, : len(classes)].max(-1)
        chosen = most_confident(bbox_cxcywh_to_xyxy(boxes[-1]), best, num_queries)
        if queries is not None:
            chosen = list(queries)
        meta = samples[0].metainfo
        to_file = 1 / box_scale(samples[0], boxes)
        padded = boxes.new_tensor(inputs.shape[:-3:-1]) * to_file[:2]
        shown = boxes.new_tensor(meta['img_shape'][1::-1]).repeat(2) * to_file
        layers = []
        for number, (entry, layer_boxes) in enumerate(
            zip(observed, boxes, strict=True)
        ):
            routed = 'enter' in entry
            layers.append(
                LayerSampling(
                    points=(entry['points'][0, chosen] * padded).cpu(),
                    weights=entry['weights'][0, chosen].cpu(),
                    boxes=(bbox_cxcywh_to_xyxy(layer_boxes[chosen]) * shown).cpu(),
                    site=detector.decoder.layers[number].site if routed else None,
                    entered=entry['enter'][0, chosen].cpu() if routed else None,
                    num_entered=int(entry['enter'][0].sum()) if routed else None,
                )
            )
        pictures.append(
            PictureSampling(
                path=str(meta['img_path']),
                queries=chosen,
                labels=[classes[labels[query]] for query in chosen],
                scores=best[chosen].tolist(),
                layers=layers,
            )
        )
    return pictures
