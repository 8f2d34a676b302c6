"""Collects the entering queries and puts them back (QR-DETR Eq. 7-8). Pure functions.

Called by `executors`.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Which queries of each image enter, padded to one length.

    Attributes:
        index: (bs, num_slots) positions in the image's queries, no position twice.
        valid: (bs, num_slots) bool, False where a slot is padding: it then holds a
            bypassed query, whose result is thrown away. None if no slot is.
    """

    index: Tensor
    valid: Tensor | None


def pack(enter: Tensor, num_slots: int, padded: bool = True) -> Packing:
    """Put entering queries first, in their own order, then bypassed ones as padding.

    Args:
        num_slots: At least the largest number of entering queries of an image.
        padded: False promises that every image fills its slots.

    Shapes:
        enter: (bs, nq) bool
    """
    first = enter.view(torch.uint8).sort(dim=1, descending=True, stable=True)
    valid = first.values[:, :num_slots].bool() if padded else None
    return Packing(first.indices[:, :num_slots], valid)


def gather(queries: Tensor, index: Tensor) -> Tensor:
    """Return Q_s = Gth(Q, sigma_s), Eq. 7.

    Shapes:
        queries: (bs, nq, *); index: (bs, num_slots); returns (bs, num_slots, *)
    """
    tail = queries.shape[2:]
    index = index.view(*index.shape, *(1 for _ in tail))
    return queries.gather(1, index.expand(-1, -1, *tail))


def scatter(routed: Tensor, packing: Packing, queries: Tensor) -> Tensor:
    """Return Sct(Q_s, Q_p), Eq. 8: routed queries in place, the others untouched.

    Shapes:
        routed: (bs, num_slots, dim); queries: (bs, nq, dim); returns (bs, nq, dim)
    """
    index = packing.index.unsqueeze(-1).expand_as(routed)
    routed = routed.type_as(queries)
    if packing.valid is not None:
        kept = queries.gather(1, index)
        routed = torch.where(packing.valid.unsqueeze(-1), routed, kept)
    return queries.scatter(1, index, routed)


def block_keys(
    enter: Tensor | None, attn_mask: Tensor | None, masks_per_image: int
) -> Tensor | None:
    """Return a self-attention mask: bypassed (or padding) queries are not keys.

    A query always sees itself, so that no row is empty; rows of bypassed queries are
    thrown away by the caller.

    Shapes:
        enter: (bs, n) bool, or None if all n enter
        attn_mask: (n, n) or (bs, n, n) bool, True where blocked; or None
        returns: bool (bs * masks_per_image, n, n) or (n, n); or None
    """
    if enter is None:
        if attn_mask is None or attn_mask.dim() == 2:
            return attn_mask
        blocked = attn_mask
    else:
        hidden = ~enter[:, None, :]
        n = enter.shape[1]
        if attn_mask is None:
            blocked = hidden.repeat(1, n, 1)
        else:
            blocked = hidden | attn_mask
        blocked.diagonal(dim1=1, dim2=2).fill_(False)
    if masks_per_image > 1:
        blocked = blocked.repeat_interleave(masks_per_image, 0)
    return blocked


def hide_keys(enter: Tensor, masks_per_image: int, dtype: torch.dtype) -> Tensor:
    """Do as `block_keys` without an `attn_mask`, at a fraction of its cost.

    All rows are one, so nothing of size n x n is built or converted: attention takes an
    additive mask as it is, and a boolean one only after two copies of that size. Where
    no query enters all are keys, so that no row is empty.

    Shapes:
        enter: (bs, n) bool
        returns: `dtype` (bs * masks_per_image, n, n), -inf where hidden, 0 elsewhere
    """
    hidden = ~enter & enter.any(1, keepdim=True)
    row = enter.new_zeros(enter.shape, dtype=dtype).masked_fill(hidden, -torch.inf)
    if masks_per_image > 1:
        row = row.repeat_interleave(masks_per_image, 0)
    return row.unsqueeze(1).expand(-1, enter.shape[1], -1)
