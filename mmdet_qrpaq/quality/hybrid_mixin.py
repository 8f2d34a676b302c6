"""Adds H-DETR's hybrid branch to a DETR of the DINO family (PaQ-DETR Table 3).

Sits just *above* the host class and below everything else: what it adds to the host's
queries it takes out again behind the decoder, so neither patterns nor heads see it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..errors import ConfigError
from ..matching import hungarian_losses
from ..temporary_attribute import temporary_attribute
from ..training_only import training_only
from .settings import HybridSettings


class HybridBranchMixin:
    """Adds `hybrid_branch` to a detector (PaQ-DETR Sec. 4.2; H-DETR, arXiv 2207.13080).

    In training, the encoder's next best proposals become extra queries beside those of
    the host. They pass the same decoder and heads, neither see the host's queries nor
    are seen by them, and get the Hungarian losses of every decoder layer against
    objects that are each there several times. In testing there is nothing of it.

    Args:
        hybrid_branch: See `HybridSettings`; None leaves the host as it is.

    Raises:
        ConfigError: If a setting is not one of these.

    Paper vs here:
        The paper follows 'the hybrid configuration of H-DETR only in training', N_h and
        k as above, beside its own assignment of the main branch; no more is said. The
        rest is as in H-DETR's code: learned content, proposals ranked behind the
        host's, attention blocked both ways, heads shared with the main branch, a loss
        weight (lambda) of 1. It has no denoising queries; these and the extra ones do
        not see each other here.
    """

    def __init__(self, *args, hybrid_branch: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.hybrid_queries = None
        if hybrid_branch is None:
            return
        settings = HybridSettings.from_config(hybrid_branch)
        content = nn.Embedding(settings.num_queries, self.embed_dims)
        self.hybrid_queries = training_only('hybrid_queries', content)
        self.hybrid_repeats = settings.num_repeats

    def init_weights(self) -> None:
        """Initialise the host, and the extra content as the host's own."""
        super().init_weights()
        if self.hybrid_queries is not None:
            nn.init.xavier_uniform_(self.hybrid_queries.weight)

    @property
    def num_hybrid(self) -> int:
        """Extra queries that go through the decoder now."""
        if self.hybrid_queries is None or not self.training:
            return 0
        return self.hybrid_queries.num_embeddings

    @contextmanager
    def _more_proposals(self) -> Iterator[None]:
        """Let the host pick proposals for the extra queries, too."""
        num_queries = self.num_queries
        self.num_queries += self.num_hybrid
        try:
            yield
        finally:
            self.num_queries = num_queries

    def pre_decoder(self, memory: Tensor, *args, **kwargs) -> tuple[dict, dict]:
        """Return the host's, in the order [denoising, extra, matching].

        Raises:
            ConfigError: If the encoder has fewer positions than there are queries.
        """
        if not self.num_hybrid:
            return super().pre_decoder(memory, *args, **kwargs)
        matching, extra = self.num_queries, self.num_hybrid
        if memory.shape[1] < matching + extra:
            raise ConfigError(
                f'hybrid_branch.num_queries is {extra} beside {matching} queries, but '
                f'this batch has {memory.shape[1]} positions to take proposals from: '
                'lower it or train on larger images.'
            )
        with self._more_proposals():
            decoder_inputs, head_inputs = super().pre_decoder(memory, *args, **kwargs)

        # The host ranks its proposals: the extra ones come last, without content.
        query, mask = decoder_inputs['query'], decoder_inputs['dn_mask']
        num_host = query.shape[1]
        denoising = num_host - matching
        index = torch.arange(num_host + extra, device=query.device)
        first, second, third = index.split((denoising, matching, extra))
        order = torch.cat((first, third, second))
        content = self.hybrid_queries.weight.expand(len(query), -1, -1).type_as(query)
        if mask is None:
            mask = query.new_zeros(num_host, num_host, dtype=torch.bool)
        seen = torch.block_diag(~mask, mask.new_ones(extra, extra))
        decoder_inputs.update(
            query=torch.cat((query, content), 1)[:, order],
            reference_points=decoder_inputs['reference_points'][:, order],
            dn_mask=~seen[order][:, order],
        )
        for name in ('enc_outputs_class', 'enc_outputs_coord'):
            head_inputs[name] = head_inputs[name][:, :matching]
        return decoder_inputs, head_inputs

    def forward_decoder(self, query: Tensor, *args, **kwargs) -> dict:
        """Decode as the host does; keep the extra queries' outputs for `loss`."""
        outputs = super().forward_decoder(query, *args, **kwargs)
        if not self.num_hybrid:
            return outputs
        denoising = query.shape[1] - self.num_hybrid - self.num_queries
        sizes = (denoising, self.num_hybrid, self.num_queries)
        states = outputs['hidden_states'].split(sizes, 2)
        boxes = [item.split(sizes, 1) for item in outputs['references']]
        if '_hybrid_outputs' in vars(self):
            self._hybrid_outputs[:] = states[1], [item[1] for item in boxes]
        return dict(
            outputs,
            hidden_states=torch.cat(states[::2], 2),
            references=[torch.cat(item[::2], 1) for item in boxes],
        )

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Return the host's losses, and those of the extra queries under `hybrid.`.

        `DETRHead`'s own: the Hungarian losses of each layer, nothing else.
        """
        if not self.num_hybrid:
            return super().loss(batch_inputs, batch_data_samples)
        with temporary_attribute(self, '_hybrid_outputs', []) as outputs:
            losses = super().loss(batch_inputs, batch_data_samples)
        hybrid_losses = hungarian_losses(
            self.bbox_head,
            *self.bbox_head(*outputs),
            [self._repeated(sample.gt_instances) for sample in batch_data_samples],
            [sample.metainfo for sample in batch_data_samples],
        )
        losses.update({f'hybrid.{key}': value for key, value in hybrid_losses.items()})
        return losses

    def _repeated(self, objects: InstanceData) -> InstanceData:
        return InstanceData(
            bboxes=objects.bboxes.repeat(self.hybrid_repeats, 1),
            labels=objects.labels.repeat(self.hybrid_repeats),
        )
