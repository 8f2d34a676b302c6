"""Exit heads: how the paper's router gets its gradient (QR-DETR Sec. 4.1).

`QueryRoutingMixin` owns them beside the decoder and supervises what they predict with
the host head's own losses. They exist for training alone.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from .eeqr_layer import RoutingTrace


class Predictions(NamedTuple):
    """What exit heads predict in all layers.

    Shapes:
        logits: (num_layers, bs, nq, num_classes)
        boxes: (num_layers, bs, nq, 4) as (cx, cy, w, h), normalised
    """

    logits: Tensor
    boxes: Tensor


class ExitHeads(BaseModule):
    """Heads shaped like the prediction heads, one per decoder layer.

    Each its own, also where the host shares one head among its layers: six of them are
    0.92 M parameters at 80 classes (Table 2 counts one million for routing).

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
        self.heads = nn.ModuleList(
            head_of_layer(bbox_head, layer) for layer in range(num_layers)
        )
        self.score_projections = None
        if exit_input == 'scores':
            self.score_projections = nn.ModuleList(
                nn.Linear(2, embed_dims) for _ in range(num_layers)
            )

    def start_as(self, bbox_head: nn.Module) -> None:
        """Take over the host's numbers, layer by layer, once it is initialised."""
        for layer, head in enumerate(self.heads):
            for name, part in parts_of_layer(bbox_head, layer):
                getattr(head, name).load_state_dict(part.state_dict())

    def forward(
        self, queries: Sequence[Tensor], references: Tensor | list[Tensor]
    ) -> Predictions:
        """Return predictions of all layers, as the host's head makes them.

        Shapes:
            queries: (bs, nq, dim) each
            references: as the host's decoder hands them to its head, matching queries
        """
        predictions = [
            head(queries[None], references_of_layer(references, layer))
            for layer, (head, queries) in enumerate(
                zip(self.heads, queries, strict=True)
            )
        ]
        return Predictions(*map(torch.cat, zip(*predictions, strict=True)))

    def scored_queries(self, traces: Sequence[RoutingTrace]) -> list[Tensor]:
        """Return what carries the routers' scores to the heads, (bs, nq, dim) each.

        No norm in between, which would undo the scale by sigma_EE and with it the
        router's gradient.
        """
        if self.score_projections is None:
            return [
                winning_score(trace.scores).type_as(trace.after) * trace.after
                for trace in traces
            ]
        return [
            project(trace.scores)
            for project, trace in zip(self.score_projections, traces, strict=True)
        ]


def head_of_layer(bbox_head: nn.Module, layer: int) -> nn.Module:
    """Return a copy of a host's head with the branches of one decoder layer."""
    head = copy.deepcopy(bbox_head)
    for name, part in parts_of_layer(head, layer):
        setattr(head, name, copy.deepcopy(part))
    return head


def parts_of_layer(head: nn.Module, layer: int) -> list[tuple[str, nn.Module]]:
    """Return the parts of a head, of lists of branches one decoder layer's only."""
    return [
        (name, part[layer : layer + 1] if isinstance(part, nn.ModuleList) else part)
        for name, part in head.named_children()
    ]


def references_of_layer(
    references: Tensor | list[Tensor], layer: int
) -> Tensor | list[Tensor]:
    """Return what a head of one layer takes, from what a host's decoder hands on."""
    if isinstance(references, Tensor) and references.dim() == 3:
        return references  # Conditional-DETR's are the same in all layers
    return references[layer : layer + 1]


def winning_score(scores: Tensor) -> Tensor:
    """Return sigma_EE = max(sigmoid(score)), Eq. 6; (bs, nq, 2) -> (bs, nq, 1)."""
    return scores.sigmoid().amax(-1, keepdim=True)
