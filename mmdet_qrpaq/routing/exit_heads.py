"""Exit heads: how the paper's router gets its gradient (QR-DETR Sec. 4.1).

`QueryRoutingMixin` owns them beside the decoder and supervises what they predict with
the host head's own losses. They exist for training alone.
"""

import copy
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from .eeqr_layer import RoutingTrace


class ExitHeads(BaseModule):
    """Heads shaped like the prediction heads, one per decoder layer.

    Args:
        bbox_head: The host's head; copied, never shared.
        num_layers: Decoder layers; branches beyond them (encoder's) are left out.
        embed_dims: Width of a query.
        exit_input: See `RoutingSettings`.
    """

    def __init__(
        self, bbox_head: nn.Module, num_layers: int, embed_dims: int, exit_input: str
    ) -> None:
        super().__init__()
        self.head = copy.deepcopy(bbox_head)
        for name, branches in self.head.named_children():
            if isinstance(branches, nn.ModuleList) and len(branches) > num_layers:
                setattr(self.head, name, branches[:num_layers])
        self.score_projections = None
        if exit_input == 'scores':
            self.score_projections = nn.ModuleList(
                nn.Linear(2, embed_dims) for _ in range(num_layers)
            )

    def forward(
        self, traces: Sequence[RoutingTrace], references: Tensor | list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return predictions of all layers, as the host's head makes them.

        No norm in between, which would undo the scale by sigma_EE and with it the
        router's gradient.

        Shapes:
            references: as the host's decoder hands them to its head, matching queries
            returns: (num_layers, bs, nq, num_classes) logits and
                (num_layers, bs, nq, 4) boxes as (cx, cy, w, h), normalised
        """
        if self.score_projections is None:
            inputs = [
                winning_score(trace.scores).type_as(trace.output) * trace.output
                for trace in traces
            ]
        else:
            inputs = [
                project(trace.scores)
                for project, trace in zip(self.score_projections, traces, strict=True)
            ]
        return self.head(torch.stack(inputs), references)


def winning_score(scores: Tensor) -> Tensor:
    """Return sigma_EE = max(sigmoid(score)), Eq. 6; (bs, nq, 2) -> (bs, nq, 1)."""
    return scores.sigmoid().amax(-1, keepdim=True)
