"""A decoder layer in which each query enters or bypasses a slice (QR-DETR Sec. 4).

`QueryRoutingMixin` puts one in place of each layer of a host's decoder.
"""

from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import ConfigError
from ..ops import FusedAttention, set_fused_attention
from .executors import keep_bypassed, run_dense, run_gathered
from .policies import Decision, enter_at_least, limit_to_capacity
from .router import Router
from .settings import DENSE_GRADIENTS, RoutingSettings

# Inputs of a decoder layer with one entry per query, over all hosts. By name: a shape
# cannot tell 300 queries from 300 memory tokens.
BY_QUERY = ('query_pos', 'reference_points', 'ref_sine_embed')

# Sub-layers of a decoder layer: self-attention, cross-attention, FFN, each with its
# norm. Eq. 9 gates the first, Eq. 10 the second, Eq. 11 both; the FFN goes along with
# the cross-attention if only routed queries are to pass it (Sec. 5.4c).
SLICES = {
    ('layer', 'routed'): (0, 3),
    ('layer', 'all'): (0, 2),
    ('self_attn', 'routed'): (0, 1),
    ('self_attn', 'all'): (0, 1),
    ('cross_attn', 'routed'): (1, 3),
    ('cross_attn', 'all'): (1, 2),
}
# Settings that parts of a detector are built of, or checked against its parts.
BUILT_IN = (
    *('schedule', 'router', 'gradient', 'exit_input'),
    *('supervise', 'bypassed_boxes'),
)


class RoutingTrace(NamedTuple):
    """What a layer did with the matching queries.

    Attributes:
        scores: (bs, nq, 2), Eq. 5
        enter: (bs, nq) bool
        before: (bs, nq, dim), the queries
        after: (bs, nq, dim), the queries after the slice; with `gradient='benefit'`
            what it makes of all, of those that bypass, too

    The queries have no gradient if exit heads teach the router alone.
    """

    scores: Tensor
    enter: Tensor
    before: Tensor
    after: Tensor


class EEQRDecoderLayer(BaseModule):
    """Entry-exit query routing around a slice of a host's decoder layer.

    Adopts the host layer's parts under their own names, so checkpoint keys do not
    change; `router.*` is new.

    Args:
        layer: A decoder layer of any DETR of mmdet: `self_attn`, `cross_attn`,
            `ffn` and three `norms`, normalised after each sub-layer.
        site: `'layer'` (EEQR_F), `'self_attn'` (EEQR_SA) or `'cross_attn'`
            (EEQR_CA).

    Attributes:
        num_denoising: Number of leading queries that always enter and are not counted;
            the detector sets it for each batch.
        entered: (bs, num_denoising + nq) bool, who entered in the last forward pass, in
            the order of the layer's output.
        trace: Of the last forward pass; the detector takes it.
    """

    def __init__(self, layer: nn.Module, site: str, settings: RoutingSettings) -> None:
        super().__init__()
        set_fused_attention(layer.self_attn)
        self.self_attn = layer.self_attn
        self.cross_attn = layer.cross_attn
        self.ffn = layer.ffn
        self.norms = layer.norms
        self.embed_dims = layer.embed_dims
        self.router = Router(layer.embed_dims, **settings.router)
        self.site = site
        self._settings = settings
        self.num_denoising = 0
        self.entered: Tensor | None = None
        self.trace: RoutingTrace | None = None

    @property
    def masks_per_image(self) -> int:
        """How many self-attention wants: one, or one for each head."""
        fused = isinstance(self.self_attn, FusedAttention)
        return 1 if fused else self.self_attn.num_heads

    @property
    def settings(self) -> RoutingSettings:
        """How it routes; read in each pass, so others may take their place.

        Raises:
            ConfigError: If a part of the detector would have to be built anew.
        """
        return self._settings

    @settings.setter
    def settings(self, settings: RoutingSettings) -> None:
        for name in BUILT_IN:
            if getattr(settings, name) != getattr(self._settings, name):
                raise ConfigError(
                    f'query_routing.{name} cannot change on a model that is built: '
                    'set it in the config and build the model anew.'
                )
        self._settings = settings

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        *,
        self_attn_mask: Tensor | None = None,
        self_attn_masks: Tensor | None = None,
        **inputs,
    ) -> Tensor:
        """Run as the host's layer: one signature serves them all.

        Shapes:
            query: (bs, num_denoising + nq, dim)
            self_attn_mask or, under the name of other hosts, self_attn_masks:
                (n, n) bool for all n queries, True = blocked
        """
        attn_mask = self_attn_mask if self_attn_masks is None else self_attn_masks
        by_query = {name: inputs.pop(name) for name in BY_QUERY if name in inputs}
        if key is not None:
            inputs['key'] = key

        def run(first: int, last: int, *arguments) -> Tensor:
            return self.run_sublayers(first, last, inputs, *arguments)

        first, last = SLICES[self.site, self.settings.ffn_scope]
        query = run(0, first, query, by_query, attn_mask)
        query = self.route(
            lambda *arguments: run(first, last, *arguments), query, by_query, attn_mask
        )
        return run(last, 3, query, by_query, attn_mask)

    def run_sublayers(
        self,
        first: int,
        last: int,
        shared: dict,
        query: Tensor,
        by_query: dict[str, Tensor],
        attn_mask: Tensor | None,
    ) -> Tensor:
        """Run sub-layers from `first` up to `last`, which stays out (Eq. 1-3)."""
        for index in range(first, last):
            if index == 0:
                position = by_query['query_pos']
                query = self.self_attn(
                    query=query,
                    key=query,
                    query_pos=position,
                    key_pos=position,
                    attn_mask=attn_mask,
                )
            elif index == 1:
                query = self.cross_attn(query=query, **by_query, **shared)
            else:
                query = self.ffn(query)
            query = self.norms[index](query)
        return query

    def decide(self, query: Tensor, query_pos: Tensor) -> tuple[Tensor, Decision]:
        """Return scores (Eq. 5) and decision (Eq. 6) of the matching queries."""
        if self.settings.targets_the_router:
            query, query_pos = query.detach(), query_pos.detach()
        scores = self.router(query, query_pos)
        return scores, self.choose(scores)

    def choose(self, scores: Tensor) -> Decision:
        """Return the decision (Eq. 6) that these scores make, within the limits."""
        decision = self.settings.rules[self.site](scores)
        if self.settings.fewest:
            decision = enter_at_least(decision, self.settings.fewest)
        slots = self.settings.slots
        if slots is not None and slots < scores.shape[1]:
            decision = limit_to_capacity(decision, slots)
        return decision

    def route(self, run_slice, query: Tensor, by_query: dict, attn_mask) -> Tensor:
        """Run the slice for the entering queries; the others leave as they came."""
        start, settings = self.num_denoising, self.settings
        scores, decision = self.decide(
            query[:, start:], by_query['query_pos'][:, start:]
        )
        enter, learns = decision.enter, settings.gradient if self.training else None
        if start:
            enter = nn.functional.pad(enter, (start, 0), value=True)
        copies = self.masks_per_image
        arguments = (run_slice, query, by_query, attn_mask, enter, copies)
        if learns in DENSE_GRADIENTS or settings.runs_dense(query.device):
            processed, probability = run_dense(*arguments), None
            if learns == 'straight_through':
                probability = nn.functional.pad(
                    decision.probability, (start, 0), value=1
                )
            output = keep_bypassed(processed, query, enter, probability)
        else:
            slots = settings.slots
            output = run_gathered(*arguments, None if slots is None else start + slots)
        after = processed if learns == 'benefit' else output
        before, after = query[:, start:], after[:, start:]
        if settings.targets_the_router:
            before, after = before.detach(), after.detach()
        self.trace = RoutingTrace(scores, decision.enter, before, after)
        if settings.regroup == 'concat':
            # Table 5: entering queries first, then the others, and never back.
            order = (~enter).byte().argsort(dim=1, stable=True)
            output = torch.take_along_dim(output, order.unsqueeze(-1), 1)
            enter = enter.gather(1, order)
        self.entered = enter
        return output

    def take_trace(self) -> RoutingTrace:
        """Return the trace of the last forward pass and forget it."""
        trace, self.trace = self.trace, None
        return trace
