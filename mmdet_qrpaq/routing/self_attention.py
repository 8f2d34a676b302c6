"""Self-attention of a routed layer: one mask an image, and torch's fused kernel.

`EEQRDecoderLayer` puts it in place of mmcv's `MultiheadAttention`, whose parts it
adopts. mmcv's asks torch for the attention's weights, which nobody reads: (heads, n, n)
numbers an image are then written, averaged and kept for the backward pass, and a mask
that differs between images has to be written once a head.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention
from torch import Tensor, nn


def adopt(part: nn.Module) -> nn.Module:
    """Return `SelfAttention` of a host's block, or the block if that has other parts.

    Conditional-DETR's and DAB-DETR's have; they go on taking a mask for each head.
    """
    attn = getattr(part, 'attn', None)
    usual = type(part) is MultiheadAttention and part.batch_first
    if usual and attn.in_proj_bias is not None and attn.bias_k is None:
        return SelfAttention(part)
    return part


def added_mask(attn_mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask as the attention adds it: -inf where blocked, the same for heads.

    Shapes:
        attn_mask: (n, n) or (bs, n, n), bool or added already
        returns: (n, n) or (bs, 1, n, n), of the type of `like`
    """
    if attn_mask.dtype == torch.bool:
        attn_mask = like.new_zeros(attn_mask.shape).masked_fill_(attn_mask, -torch.inf)
    attn_mask = attn_mask.type_as(like)
    return attn_mask if attn_mask.dim() == 2 else attn_mask.unsqueeze(1)


class SelfAttention(nn.Module):
    """Stands for mmcv's, under its parameters' names; equal to it up to rounding.

    Args:
        part: Of the host's layer; all widths are its `embed_dims`.
    """

    def __init__(self, part: MultiheadAttention) -> None:
        super().__init__()
        self.attn = part.attn
        self.proj_drop = part.proj_drop
        self.dropout_layer = part.dropout_layer
        self.num_heads = part.num_heads
        self.embed_dims = part.embed_dims

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        attn_mask: Tensor | None = None,
        **_: Tensor,
    ) -> Tensor:
        """Attend, and add what comes of it to the queries.

        `key` and `key_pos` are the queries', whatever a caller says.

        Shapes:
            query, query_pos: (bs, n, dim)
            attn_mask: (n, n) or (bs, n, n), True where blocked, or added; or None
        """
        attn, dim = self.attn, query.shape[-1]
        weight, bias = attn.in_proj_weight, attn.in_proj_bias
        split = [2 * dim, dim]
        weights, biases = weight.split(split), bias.split(split)
        q, k = F.linear(query + query_pos, weights[0], biases[0]).chunk(2, -1)
        v = F.linear(query, weights[1], biases[1])
        mask = None if attn_mask is None else added_mask(attn_mask, q)
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v)
        )
        dropout = attn.dropout if self.training else 0.0
        output = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        output = attn.out_proj(output.transpose(1, 2).flatten(2))
        return query + self.dropout_layer(self.proj_drop(output))
