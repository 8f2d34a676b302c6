"""Rules that turn a router's scores into decisions (QR-DETR Eq. 6).

Called by `EEQRDecoderLayer` with the scores of the matching queries. A rule is a class
registered in mmdet's TASK_UTILS, so a config can name one of its own.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from ..errors import check_number


class Decision(NamedTuple):
    """What a policy says about the queries of a batch. All of shape (bs, nq).

    Attributes:
        enter: True where the query enters the slice, sigma_s.
        margin: Ranks the queries; the highest are kept when `capacity` is short.
        probability: Differentiable share of 'enter' in [0, 1], for the
            straight-through gradient.
    """

    enter: Tensor
    margin: Tensor
    probability: Tensor


def count_share(share: float, num_queries: int) -> int:
    """Return a share of the queries, rounded up to whole ones: 28 % of 300 are 84."""
    # 0.28 * 300 is 84.00000000000001.
    return math.ceil(round(share * num_queries, 6))


def score_margin(scores: Tensor) -> Tensor:
    """Return 'enter' minus 'bypass', (bs, nq, 2) -> (bs, nq)."""
    return scores[..., 0] - scores[..., 1]


@TASK_UTILS.register_module()
class ThresholdPolicy:
    """Enter where 'enter' scores at least as high as 'bypass': Eq. 6, the paper's.

    Paper vs here: Eq. 6 takes the maximum of two sigmoids and says that it is split
    into two subsets; we read the split as the arg-max, ties enter.
    """

    def __call__(self, scores: Tensor) -> Decision:
        margin = score_margin(scores)
        return Decision(margin >= 0, margin, margin.sigmoid())


@TASK_UTILS.register_module()
class StandardizedPolicy:
    """Enter where the margin stands out among the image's own queries.

    The margin is standardised over the queries of its image, so that a router cannot
    answer all queries alike by its bias; how many enter still varies with the shape of
    their distribution. Identical margins all enter.

    Args:
        threshold: In standard deviations from the image's mean; about 69 % enter at
            -0.5 if margins are spread like a bell.
    """

    def __init__(self, threshold: float = -0.5) -> None:
        name = 'query_routing.policy.threshold'
        check_number(name, threshold, -3, 3, hint='the default: -0.5')
        self.threshold = threshold

    def __call__(self, scores: Tensor) -> Decision:
        margin = score_margin(scores)
        # The floor keeps identical margins at 0: all of them enter.
        standardized = F.layer_norm(margin, margin.shape[-1:], eps=1e-6)
        return Decision(
            standardized >= self.threshold,
            standardized,
            (standardized - self.threshold).sigmoid(),
        )


@TASK_UTILS.register_module()
class TopSharePolicy:
    """The queries with the highest margin enter, the same share in every image.

    Args:
        share: In (0, 1]; rounded up to whole queries.
    """

    def __init__(self, share: float = 0.5) -> None:
        name = 'query_routing.policy.share'
        check_number(name, share, 0.001, 1, hint='a half: 0.5')
        self.share = share

    def __call__(self, scores: Tensor) -> Decision:
        margin = score_margin(scores)
        count = count_share(self.share, margin.shape[-1])
        enter = highest(margin, count)
        cut = margin.masked_fill(~enter, torch.inf).amin(-1, keepdim=True)
        # No gradient flows through the cut.
        return Decision(enter, margin, (margin - cut.detach()).sigmoid())


def highest(margin: Tensor, count: int) -> Tensor:
    """Tell where the `count` highest of each image are, (bs, nq) bool.

    Stable, so that ties fall to the first query on every device. No synchronisation.
    """
    order = margin.argsort(dim=-1, descending=True, stable=True)
    found = torch.zeros_like(margin, dtype=torch.bool)
    return found.scatter(-1, order[..., :count], True)


def enter_at_least(decision: Decision, count: int) -> Decision:
    """Let those with the highest margin enter, too, until `count` of them do."""
    return decision._replace(
        enter=decision.enter | highest(decision.margin.detach(), count)
    )


def limit_to_capacity(decision: Decision, capacity: int) -> Decision:
    """Let only the `capacity` entering queries with the highest margin enter."""
    margin = decision.margin.detach().masked_fill(~decision.enter, -torch.inf)
    return decision._replace(enter=decision.enter & highest(margin, capacity))
