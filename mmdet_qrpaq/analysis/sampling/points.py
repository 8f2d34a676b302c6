"""Where the queries of a deformable DETR look, decoder layer by decoder layer.

A query of a layer takes one sample for each head, level and point of its deformable
cross-attention (Deformable-DETR, arXiv 2010.04159, Eq. 3); its weights add up to 1 in
each head. With query routing, a query that bypasses the cross-attention takes none.
"""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.dataset import pseudo_collate
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...errors import ConfigError
from ...records.schema import (
    COUNT,
    NUMBER,
    SHARE,
    TEXT,
    YES_NO,
    fields,
    list_of,
    or_none,
)
from ...records.tables import Table, plain
from ..listening import listening
from ..matching import class_scores
from ..trained_detector import TrainedModel, box_scale
from .attention import require_deformable, taking_samples
from .figure import draw

# Coordinates are in pixels of the stored image.
SCHEMA = fields(
    num_queries=COUNT,
    pictures=list_of(
        fields(
            name=TEXT,
            queries=list_of(fields(index=COUNT, label=TEXT, score=SHARE)),
            layers=list_of(
                fields(
                    site=or_none(TEXT),
                    num_entered=or_none(COUNT),
                    queries=list_of(
                        fields(
                            box=list_of(NUMBER),
                            entered=or_none(YES_NO),
                            # One after another: by head, then level, then point. None
                            # of a query that bypasses the cross-attention.
                            points=list_of(list_of(NUMBER)),
                            weights=list_of(SHARE),
                        )
                    ),
                )
            ),
        )
    ),
)
# IoU of boxes above which two queries found one object.
SAME_OBJECT = 0.6


def measure(
    models: Sequence[TrainedModel],
    images: Sequence[str] | None,
    num_images: int,
    queries: Sequence[int] | None,
    num_queries: int,
) -> tuple[dict, Figure]:
    """Follow queries through the decoder on some images.

    Args:
        models: One.
        images: By the end of their paths.
        num_images: Without `images`: the first so many, at least 1.
        queries: By index.
        num_queries: Without `queries`: so many of the most confident of each image, at
            least 1; of queries that found one object only the best, so there may be
            fewer.

    Returns:
        What `SCHEMA` describes, and the figure.

    Raises:
        ConfigError: See `require_deformable`; or there is no such query or image.
    """
    (model,) = models
    detector = model.detector
    require_deformable(detector)
    last = detector.num_queries - 1
    if queries is not None and not all(0 <= query <= last for query in queries):
        raise ConfigError(f'the model has queries 0 to {last}, and no others.')
    dataset = model.dataloader.dataset
    places = range(min(num_images, len(dataset)))
    if images is not None:
        places = find_images(dataset, images)
    paths, followed = [], []
    for place in track(places, 'following queries'):
        item = dataset[place]
        paths.append(str(item['data_samples'].img_path))
        followed.append(
            dict(
                name=paths[-1].replace('\\', '/').rpartition('/')[2],
                **follow(detector, item, model.classes, queries, num_queries),
            )
        )
    numbers = dict(num_queries=detector.num_queries, pictures=followed)
    return numbers, draw(numbers, paths)


def find_images(dataset: Dataset, names: Sequence[str]) -> list[int]:
    """Return the places of images in a data set, by the end of their paths.

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
                f'the data set has no image {name}; give file names such as {example}.'
            )
        if len(found) > 1:
            raise ConfigError(
                f'the image {name} is {paths[found[0]]} and {paths[found[1]]}; give '
                'more of its path.'
            )
        places += found
    return places


@torch.no_grad()
def follow(
    detector: nn.Module,
    item: dict,
    classes: Sequence[str],
    queries: Sequence[int] | None,
    num_queries: int,
) -> dict[str, Any]:
    """Return what chosen queries do on one image: `queries` and `layers` of `SCHEMA`.

    Args:
        detector: In eval mode.
        item: Of a data set.
        classes: Their names.
        queries: See `measure`.
        num_queries: See `measure`.
    """
    batch = detector.data_preprocessor(pseudo_collate([item]), False)
    samples, inputs = batch['data_samples'], batch['inputs']
    with listening(detector) as heard, taking_samples(detector) as taken:
        transformed = detector.forward_transformer(
            detector.extract_feat(inputs), samples
        )
        logits, boxes = (out[:, 0] for out in detector.bbox_head(**transformed)[:2])
    scores = class_scores(detector.bbox_head, logits[-1])
    best, labels = scores[:, : len(classes)].max(-1)
    chosen = queries
    if chosen is None:
        chosen = most_confident(bbox_cxcywh_to_xyxy(boxes[-1]), best, num_queries)
    to_file = 1 / box_scale(samples[0], boxes)
    padded = boxes.new_tensor(inputs.shape[:-3:-1]) * to_file[:2]
    shown = boxes.new_tensor(samples[0].img_shape[1::-1]).repeat(2) * to_file
    entered = iter(heard.entered)
    layers = []
    for layer, (points, weights), box in zip(
        detector.decoder.layers, taken, boxes, strict=True
    ):
        site = getattr(layer, 'site', None)
        enter = None if site is None else next(entered)[0]
        layers.append(
            dict(
                site=site,
                num_entered=None if enter is None else int(enter.sum()),
                queries=[
                    _describe(
                        bbox_cxcywh_to_xyxy(box[query]) * shown,
                        points[0, query] * padded,
                        weights[0, query],
                        site,
                        None if enter is None else bool(enter[query]),
                    )
                    for query in chosen
                ],
            )
        )
    told = [
        dict(index=query, label=classes[labels[query]], score=best[query].item())
        for query in chosen
    ]
    return dict(queries=told, layers=layers)


def _describe(
    box: Tensor, points: Tensor, weights: Tensor, site: str | None, enters: bool | None
) -> dict[str, Any]:
    """Return what one query does in one layer, as JSON types."""
    looks = enters is not False or site == 'self_attn'
    return dict(
        box=box.tolist(),
        entered=enters,
        points=points.flatten(0, -2).tolist() if looks else [],
        weights=weights.flatten().tolist() if looks else [],
    )


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


def tables(numbers: dict) -> list[Table]:
    """Return the queries that were followed."""
    rows = [
        [image['name'], str(query['index']), query['label'], plain(query['score'])]
        for image in numbers['pictures']
        for query in image['queries']
    ]
    columns = ('image', 'query', 'class', 'score')
    return [Table('Queries that were followed', columns, rows, words=(0, 2))]
