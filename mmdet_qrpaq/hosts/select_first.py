"""Selects the encoder's proposals before it predicts their boxes, as an option.

mmdet's DINO runs its box branch on every position of the encoder, 22,000 on an image of
800 x 1333, and keeps the boxes of the `num_queries` with the best class. Class scores
alone decide, so the box branch needs no more than these.
"""

import torch
from mmdet.models.detectors import DINO
from torch import Tensor, nn

from ..temporary_attribute import temporary_attribute


class SelectFirstMixin:
    """Adds `select_first` to a detector of the DINO family.

    Args:
        select_first: Predict boxes of the selected proposals only. Outputs are the same
            up to rounding; False is the host, bit for bit.
    """

    def __init__(self: DINO, *args, select_first: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.select_first = select_first

    def pre_decoder(self: DINO, *args, **kwargs) -> tuple[dict, dict]:
        """Run the host's, which gathers what it selects from `BoxesToGather`."""
        if not self.select_first:
            return super().pre_decoder(*args, **kwargs)
        branch = self.bbox_head.reg_branches[self.decoder.num_layers]
        forward = branch.forward
        with temporary_attribute(
            branch, 'forward', lambda rows: BoxesToGather(forward, rows)
        ):
            return super().pre_decoder(*args, **kwargs)


class BoxesToGather:
    """Stands for `branch(rows) + proposals`, of which only some rows are needed.

    Args:
        branch: (bs, any, dim) -> (bs, any, 4)
        rows: (bs, num_positions, dim)
        proposals: (bs, num_positions, 4), added to what the branch says.

    Shapes:
        torch.gather(self, 1, index): (bs, n, 4), for `index` (bs, n, 4) whose last
            dimension is a row repeated
    """

    def __init__(
        self,
        branch: nn.Module,
        rows: Tensor,
        proposals: Tensor | None = None,
    ) -> None:
        self.branch, self.rows, self.proposals = branch, rows, proposals

    def __add__(self, proposals: Tensor) -> 'BoxesToGather':
        return BoxesToGather(self.branch, self.rows, proposals)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None) -> Tensor:
        if function is not torch.gather:
            return NotImplemented  # torch then raises a TypeError that names it
        boxes, dim, index = args
        rows = index[..., :1].expand(-1, -1, boxes.rows.shape[-1])
        selected = boxes.branch(boxes.rows.gather(dim, rows))
        return selected + boxes.proposals.gather(dim, index)
