"""Joins `PatternQueryGenerator` to a DETR of mmdet.

Sits *above* the host class: the host's own `pre_decoder` runs, then the content of its
matching queries is replaced. Anchors, positions and denoising queries stay the host's.
"""

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from ..errors import check_free


class UnusedEmbedding(nn.Module):
    """Stands in for a host embedding that pattern queries replace.

    The host still reads `weight`; as a non-persistent buffer it is neither trained
    nor saved.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        zeros = torch.zeros_like(embedding.weight.data)
        self.register_buffer('weight', zeros, persistent=False)


class PatternQueryMixin:
    """Adds `pattern_query` to a detector (PaQ-DETR Sec. 3.2).

    Args:
        pattern_query: Config of a `PatternQueryGenerator`; None leaves the host as it
            is. `num_queries`, `embed_dims` and `num_levels` are filled in.
    """

    # Name of the host's embedding that holds nothing but query content, if any.
    content_embedding: str | None = None

    def __init__(self, *args, pattern_query: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pattern_query_generator = None
        if pattern_query is None:
            return
        of_host = dict(
            num_queries=self.num_queries,
            embed_dims=self.embed_dims,
            num_levels=getattr(self, 'num_feature_levels', 1),
        )
        check_free('pattern_query', pattern_query, of_host)
        self.pattern_query_generator = MODELS.build(
            dict(type='PatternQueryGenerator') | pattern_query | of_host
        )
        if self.content_embedding is not None:
            unused = UnusedEmbedding(getattr(self, self.content_embedding))
            setattr(self, self.content_embedding, unused)

    def host_content(self) -> Tensor | None:
        """Return the content of a host without patterns, the same for all images.

        Zero, if the host does not say otherwise.

        Shapes:
            returns: (nq, dim), or None if the host makes it of the image
        """
        if self.content_embedding is None:
            return torch.zeros(self.num_queries, self.embed_dims)
        return getattr(self, self.content_embedding).weight

    def pre_transformer(
        self, img_feats: tuple[Tensor, ...], batch_data_samples=None
    ) -> tuple[dict, dict]:
        encoder_inputs, decoder_inputs = super().pre_transformer(
            img_feats, batch_data_samples
        )
        # Single-scale hosts tell `pre_decoder` neither sizes nor mask, so both travel
        # along. Plain ints: `spatial_shapes` would cost a device synchronisation.
        encoder_inputs['level_sizes'] = [tuple(f.shape[-2:]) for f in img_feats]
        return encoder_inputs, decoder_inputs

    def forward_encoder(self, level_sizes: list[tuple[int, int]], **kwargs) -> dict:
        outputs = super().forward_encoder(**kwargs)
        levels = dict(level_sizes=level_sizes, memory_mask=kwargs.get('feat_mask'))
        return dict(outputs, levels=levels)

    def pre_decoder(self, memory: Tensor, *args, levels: dict, **kwargs):
        decoder_inputs, head_inputs = super().pre_decoder(memory, *args, **kwargs)
        if self.pattern_query_generator is not None:
            content = self.pattern_query_generator(memory, **levels)
            query = decoder_inputs['query']
            # Matching queries come last, after any denoising queries.
            others = query[:, : query.shape[1] - content.shape[1]]
            decoder_inputs['query'] = torch.cat((others, content.type_as(query)), 1)
        return decoder_inputs, head_inputs

    def loss(self, *args, **kwargs) -> dict:
        losses = super().loss(*args, **kwargs)
        if self.pattern_query_generator is not None:
            losses.update(self.pattern_query_generator.loss())
        return losses
