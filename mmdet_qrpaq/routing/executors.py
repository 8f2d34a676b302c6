"""Two ways to run a slice of a decoder layer for the entering queries only.

Called by `EEQRDecoderLayer`. Both give the same result; `run_dense` is the oracle and
has static shapes, `run_gathered` saves the work of bypassed queries.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .gather_scatter import block_keys, gather, hide_keys, pack, scatter

# (queries, what belongs to each of them by name, self-attention mask) -> queries
Slice = Callable[[Tensor, dict[str, Tensor], Tensor | None], Tensor]


def run_dense(
    run_slice: Slice,
    query: Tensor,
    by_query: dict[str, Tensor],
    attn_mask: Tensor | None,
    enter: Tensor,
    masks_per_image: int,
) -> Tensor:
    """Run all queries; bypassed ones are not keys.

    Args:
        by_query: Inputs with one entry per query along dimension 1.
        masks_per_image: One, or as many as heads, if it has no `FusedAttention`.

    Shapes:
        query: (bs, nq, dim); enter: (bs, nq); attn_mask: (nq, nq) bool
        returns: (bs, nq, dim), also what becomes of those that bypass
    """
    mask = self_attention_mask(enter, attn_mask, masks_per_image, query)
    return run_slice(query, by_query, mask)


def keep_bypassed(
    processed: Tensor, query: Tensor, enter: Tensor, probability: Tensor | None = None
) -> Tensor:
    """Let bypassed queries be what they were.

    Args:
        probability: Share of 'enter'. If given, the decision lets the gradient of
            `probability * (processed - query)` through (straight-through).

    Shapes:
        processed, query: (bs, nq, dim); enter, probability: (bs, nq)
    """
    if probability is None:
        return torch.where(enter.unsqueeze(-1), processed, query)
    # Exactly 0 or 1, where `lerp` gives exactly one of the two.
    gate = enter + (probability - probability.detach())
    gate = gate.unsqueeze(-1).type_as(query)
    return torch.lerp(query, processed.type_as(query), gate)


def run_gathered(
    run_slice: Slice,
    query: Tensor,
    by_query: dict[str, Tensor],
    attn_mask: Tensor | None,
    enter: Tensor,
    masks_per_image: int,
    num_slots: int | None = None,
) -> Tensor:
    """Run only entering queries: gather (Eq. 7), slice, scatter (Eq. 8).

    Args:
        num_slots: At least the entering queries of every image; shapes are then
            static. None packs to the batch's longest, at the cost of one
            synchronisation.
    """
    num_queries = query.shape[1]
    padded = True
    if num_slots is None:
        counts = enter.sum(1).tolist()
        # One slot at least: every parameter has a gradient, also if no query enters.
        num_slots = max(*counts, 1)
        padded = min(counts) < num_slots
    if num_slots >= num_queries:
        # Nothing to leave out of the tensors.
        mask = self_attention_mask(
            enter if padded else None, attn_mask, masks_per_image, query
        )
        processed = run_slice(query, by_query, mask)
        return (
            torch.where(enter.unsqueeze(-1), processed, query) if padded else processed
        )
    packing = pack(enter, num_slots, padded)
    packed = {name: gather(value, packing.index) for name, value in by_query.items()}
    if attn_mask is not None:
        rows, columns = packing.index.unsqueeze(2), packing.index.unsqueeze(1)
        attn_mask = attn_mask[rows, columns]
    mask = self_attention_mask(packing.valid, attn_mask, masks_per_image, query)
    routed = run_slice(gather(query, packing.index), packed, mask)
    return scatter(routed, packing, query)


def self_attention_mask(
    enter: Tensor | None, attn_mask: Tensor | None, masks_per_image: int, query: Tensor
) -> Tensor | None:
    """Return the cheapest mask under which only entering queries are keys."""
    if enter is None or attn_mask is not None:
        return block_keys(enter, attn_mask, masks_per_image)
    return hide_keys(enter, masks_per_image, query.dtype)
