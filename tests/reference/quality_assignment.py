"""Naive reference of the quality-aware assignment (PaQ-DETR Sec. 3.3, Eq. 6-7).

One image, plain Python numbers, one loop per rule. Slow on purpose: it is read
against the paper and the batched assigner is tested against it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# The score of a pair that has none (a NaN prediction): below every real score.
WORST = -math.inf


def interval(center: float, size: float) -> tuple[float, float]:
    """(start, end) of one side of a box given its centre and length."""
    return center - size / 2, center + size / 2


def box_iou(first: Sequence[float], second: Sequence[float]) -> float:
    """IoU of two `(cx, cy, w, h)` boxes; 0 when their union is empty."""
    overlap = 1.0
    for axis in (0, 1):
        start_a, end_a = interval(first[axis], first[axis + 2])
        start_b, end_b = interval(second[axis], second[axis + 2])
        overlap *= max(min(end_a, end_b) - max(start_a, start_b), 0.0)
    union = first[2] * first[3] + second[2] * second[3] - overlap
    return overlap / union if union > 0 else 0.0


def quality_table(
    probs: Tensor,
    boxes: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    *,
    confidence_weight: float = 0.4,
    confidence: str = 'gt_class',
) -> list[list[float]]:
    """Eq. 6 for every pair.

    Returns:
        `table[j][i]` = IoU(query i, object j) - gamma * c, NaN where a
        prediction is NaN.
    """
    table = []
    for gt_box, label in zip(gt_boxes.tolist(), gt_labels.tolist(), strict=True):
        row = []
        for box, prob in zip(boxes.tolist(), probs.tolist(), strict=True):
            if any(math.isnan(side) for side in box):
                row.append(math.nan)
                continue
            score = prob[label] if confidence == 'gt_class' else max(prob)
            row.append(box_iou(box, gt_box) - confidence_weight * score)
        table.append(row)
    return table


def count_positives(row: Sequence[float], candidate_topk: int, minimum: int) -> int:
    """Eq. 7 for one object: max(ceil(sum of the top-k scores), l)."""
    best = sorted((s for s in row if math.isfinite(s)), reverse=True)
    # A sum that is an integer on paper may come out a rounding error above it.
    return max(math.ceil(sum(best[:candidate_topk]) - 1e-6), minimum)


def best_first(row: Sequence[float]) -> list[int]:
    """Query indices by falling score; ties keep the lower index first."""
    return sorted(range(len(row)), key=lambda i: -row[i])


def assign_from_quality(
    table: Sequence[Sequence[float]],
    num_queries: int,
    *,
    candidate_topk: int = 4,
    min_positives: int = 1,
) -> list[int]:
    """Eq. 7, the conflict rule and the proposals, from a table of scores.

    Args:
        table: `table[j][i]`, the score of query i for object j; NaN allowed.
        num_queries: Number of queries.
        candidate_topk: k of Eq. 7.
        min_positives: l of Eq. 7.

    Returns:
        For each query its object, or -1 for background.
    """
    table = [[s if math.isfinite(s) else WORST for s in row] for row in table]
    owner = [-1] * num_queries

    wishes: list[list[int]] = [[] for _ in range(num_queries)]
    for j, row in enumerate(table):
        for i in best_first(row)[: count_positives(row, candidate_topk, min_positives)]:
            wishes[i].append(j)
    for i, objects in enumerate(wishes):
        if objects:
            # max() keeps the first of equals, here the lower object index.
            owner[i] = max(objects, key=lambda j: table[j][i])

    while True:
        spare = [i for i in range(num_queries) if owner[i] == -1]
        if not spare:
            # Nothing is free: what is not the best of its owner can change hands.
            spare = [i for i in range(num_queries) if not is_best_of(owner, table, i)]
        without = [j for j in range(len(table)) if j not in owner]
        if not spare or not without:
            return owner
        lines: dict[int, list[int]] = {}
        for j in without:
            lines.setdefault(max(spare, key=lambda i: table[j][i]), []).append(j)
        bids: dict[int, list[int]] = {}
        for first_choice, objects in lines.items():
            # Objects with the same first choice line up; the p-th bids for its p-th.
            objects.sort(key=lambda j: -table[j][first_choice])
            for place, j in enumerate(objects):
                choices = [i for i in best_first(table[j]) if i in spare]
                choice = choices[min(place, len(choices) - 1)]
                bids.setdefault(choice, []).append(j)
        for i, objects in bids.items():
            owner[i] = max(sorted(objects), key=lambda j: table[j][i])


def is_best_of(
    owner: Sequence[int], table: Sequence[Sequence[float]], query: int
) -> bool:
    """Whether a query is the best, or the first of the best, its owner has."""
    row = table[owner[query]]
    mine = [i for i, j in enumerate(owner) if j == owner[query]]
    return query == max(mine, key=lambda i: row[i])


def assign_one_image(
    probs: Tensor,
    boxes: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    *,
    candidate_topk: int = 4,
    min_positives: int = 1,
    confidence_weight: float = 0.4,
    confidence: str = 'gt_class',
) -> list[int]:
    """Assign every query of one image to an object or to the background.

    Shapes:
        probs: (nq, C) class probabilities
        boxes: (nq, 4) `(cx, cy, w, h)` in [0, 1]
        gt_boxes: (g, 4) `(cx, cy, w, h)` in [0, 1]
        gt_labels: (g,)

    Returns:
        Length nq: the object's index, or -1 for background.
    """
    table = quality_table(
        probs.to(torch.float64),
        boxes.to(torch.float64),
        gt_boxes.to(torch.float64),
        gt_labels,
        confidence_weight=confidence_weight,
        confidence=confidence,
    )
    return assign_from_quality(
        table,
        len(boxes),
        candidate_topk=candidate_topk,
        min_positives=min_positives,
    )
