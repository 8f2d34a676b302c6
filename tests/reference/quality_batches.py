"""Random crowded batches for the tests of the quality-aware assignment."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

NUM_CLASSES = 3


def random_batch(
    seed: int, objects: list[int], num_queries: int, *, on_grid: bool, nans: int = 0
) -> tuple[Tensor, ...]:
    """Arguments of `QualityAwareAssigner.assign_batch`, crowded and padded.

    Args:
        seed: Of the draw.
        objects: Number of objects of each image.
        num_queries: Number of queries of each image.
        on_grid: Few different boxes and scores, so that ties are many.
        nans: Queries whose box or scores become NaN.
    """
    draw = torch.Generator().manual_seed(seed)
    batch, width = len(objects), max(objects, default=0)

    def boxes(*shape: int) -> Tensor:
        if on_grid:
            center = torch.randint(2, 7, (*shape, 2), generator=draw) / 8
            size = torch.randint(1, 5, (*shape, 2), generator=draw) / 8
        else:
            center = torch.rand(*shape, 2, generator=draw) * 0.4 + 0.3
            size = torch.rand(*shape, 2, generator=draw) * 0.5 + 0.05
        return torch.cat([center, size], -1)

    queries = boxes(batch, num_queries)
    if on_grid:
        probs = (
            torch.randint(0, 5, (batch, num_queries, NUM_CLASSES), generator=draw) / 4
        )
    else:
        probs = torch.rand(batch, num_queries, NUM_CLASSES, generator=draw)
    gt_boxes = boxes(batch, width)
    labels = torch.randint(0, NUM_CLASSES, (batch, width), generator=draw)
    valid = torch.arange(width) < torch.tensor(objects)[:, None]
    # Half of the objects get near-perfect queries: real sums above one.
    for image, count in enumerate(objects):
        for j in range(0, min(count, num_queries), 2):
            queries[image, j : j + 3] = gt_boxes[image, j]
            if not on_grid:
                jitter = torch.rand(queries[image, j : j + 3].shape, generator=draw)
                queries[image, j : j + 3] *= 1 + 0.1 * jitter
    for _ in range(nans):
        image = int(torch.randint(batch, (), generator=draw))
        query = int(torch.randint(num_queries, (), generator=draw))
        if torch.rand((), generator=draw) < 0.5:
            queries[image, query] = math.nan
        else:
            probs[image, query] = math.nan
    return probs, queries, gt_boxes, labels, valid


def unpadded(batch: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """The images of a batch one by one, padding cut away."""
    for probs, boxes, gt, labels, valid in zip(*batch, strict=True):
        yield probs, boxes, gt[valid], labels[valid]
