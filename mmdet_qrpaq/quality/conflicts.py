"""Who gets a prediction that several objects want, and what the others take.

Ours: the paper is silent on conflicts (docs/paper_map.md). Called by
`QualityAwareAssigner`.

Shapes of all functions (`B` is images, or layers times images; `G` is objects, padded):
    quality: (B, G, nq), -inf for padding
    assigned: (B, nq) int64, index of the object in G, or -1
    gt_valid: (B, G) bool, False = padding
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def serve_all(quality: Tensor, assigned: Tensor, gt_valid: Tensor) -> Tensor:
    """Give each object that has nothing a spare prediction; returns `assigned`.

    One synchronisation a round. One or two rounds serve all objects, unless their
    preferences interlock.
    """
    left = 0
    while True:
        unserved = (gt_valid & ~is_served(assigned, gt_valid)).nonzero(as_tuple=True)
        # Each round serves somebody, unless objects outnumber predictions.
        if len(unserved[0]) in (0, left):
            return assigned
        left = len(unserved[0])
        winner = best_bidder(quality, bids(quality, assigned, unserved))
        assigned = torch.where(winner >= 0, winner, assigned)


def best_bidder(quality: Tensor, bids: Tensor) -> Tensor:
    """Give each prediction to its bidder of highest quality, lowest index on ties.

    Shapes:
        bids: (B, G, nq) bool
        returns: (B, nq) int64, -1 where nobody bids
    """
    owner = quality.masked_fill(~bids, -torch.inf).argmax(1)
    return torch.where(bids.any(1), owner, -1)


def is_served(assigned: Tensor, gt_valid: Tensor) -> Tensor:
    """Tell which objects have a prediction, (B, G) bool."""
    served = F.pad(torch.zeros_like(gt_valid), (1, 0))
    return served.scatter(1, assigned + 1, True)[:, 1:]


def is_kept(quality: Tensor, assigned: Tensor) -> Tensor:
    """Tell which predictions are the best of their owner, (B, nq) bool."""
    bs, num_objects, nq = quality.shape
    owner = assigned.clamp(min=0)
    index = torch.arange(nq, device=assigned.device).expand(bs, -1)
    own = quality.gather(1, owner[:, None])[:, 0].masked_fill(assigned < 0, -torch.inf)
    best = own.new_full((bs, num_objects), -torch.inf)
    best = best.scatter_reduce(1, owner, own, 'amax')
    is_best = (assigned >= 0) & (own == best.gather(1, owner))
    first = index.new_full((bs, num_objects), nq)
    first = first.scatter_reduce(1, owner, index.where(is_best, nq), 'amin')
    return is_best & (index == first.gather(1, owner))


def bids(quality: Tensor, assigned: Tensor, unserved: tuple[Tensor, Tensor]) -> Tensor:
    """Return what each object that has nothing bids for, (B, G, nq) bool.

    It bids for its best spare prediction: a free one or, if the image has none, one
    that is not its owner's best. Objects with the same best line up by quality and bid
    for their first, second, ... choice: objects that nothing overlaps yet rank all
    predictions alike, and would take a round each.

    Args:
        unserved: Image and number of each object that has nothing, (R,) both.
    """
    image, number = unserved
    free = assigned < 0
    spare = torch.where(free.any(-1, keepdim=True), free, ~is_kept(quality, assigned))
    ranked = quality[image, number].masked_fill(~spare[image], -torch.inf)
    # A stable sort decides: ties go to the lower index. What is not spare comes last.
    ranked, order = ranked.sort(dim=-1, descending=True, stable=True)
    # Of all objects, (B, G), as they are compared with those of their image.
    choice = assigned.new_full(quality.shape[:2], -1)
    choice[image, number] = order[:, 0]
    value = quality.new_full(quality.shape[:2], -torch.inf)
    value[image, number] = ranked[:, 0]
    mine, mine_value = choice[image, number, None], value[image, number, None]
    objects = torch.arange(quality.shape[1], device=quality.device)
    ahead = (value[image] > mine_value) | (
        (value[image] == mine_value) & (objects < number[:, None])
    )
    place = ((choice[image] == mine) & ahead).sum(-1)
    num_spare = spare.sum(-1)[image]
    place = torch.minimum(place, (num_spare - 1).clamp(min=0))
    chosen = order.gather(-1, place[:, None])[:, 0]
    bidding = torch.zeros_like(quality, dtype=torch.bool)
    bidding[image, number, chosen] = num_spare > 0
    return bidding
