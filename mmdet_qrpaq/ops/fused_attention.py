"""Self-attention without the weights that nobody reads, by torch's fused kernel.

mmcv's block asks `nn.MultiheadAttention` for the output and the weights, and drops the
weights: (heads, n, n) numbers an image are then written, averaged over the heads and
kept for the backward pass, and a mask that differs between images is written once a
head.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmengine.utils import deprecated_api_warning
from torch import Tensor, nn

from .tracing import is_traced


class FusedAttention(MultiheadAttention):
    """mmcv's block, which attends to its own queries by torch's fused kernel.

    Parameters and their names are the same, outputs equal up to rounding, but that a
    query which may see nothing gets no NaN. With keys of another kind it does what
    mmcv's does.
    """

    @deprecated_api_warning({'residual': 'identity'}, cls_name='MultiheadAttention')
    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_pos: Tensor | None = None,
        attn_mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        **others,
    ) -> Tensor:
        """Attend and add the query.

        Shapes:
            query, query_pos, returns: (bs, n, dim)
            attn_mask: (n, n), (bs, n, n) or (bs * heads, n, n); True where blocked, or
                added
            key_padding_mask: (bs, n), likewise
        """
        others_are_it = all(x is None or x is query for x in (key, value, identity))
        if key_pos is None and (query_pos is None or query_pos.shape == query.shape):
            key_pos = query_pos  # as in mmcv's
        masks_are_known = all(map(_is_mask, (attn_mask, key_padding_mask)))
        usual = others_are_it and key_pos is query_pos and masks_are_known
        if not usual or not query.numel():
            given = (query, key, value, identity, query_pos, key_pos)
            return super().forward(*given, attn_mask, key_padding_mask, **others)
        attn = self.attn
        split = [2 * self.embed_dims, self.embed_dims]
        weights = attn.in_proj_weight.split(split)
        biases = attn.in_proj_bias.split(split)
        placed = query if query_pos is None else query + query_pos
        q, k = F.linear(placed, weights[0], biases[0]).chunk(2, -1)
        v = F.linear(query, weights[1], biases[1])
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v)
        )
        if attn_mask is not None and attn_mask.dim() == 3:
            attn_mask = attn_mask.unflatten(0, (query.shape[0], -1))
        if key_padding_mask is not None:
            padding = key_padding_mask[:, None, None]
            attn_mask = padding if attn_mask is None else _join(attn_mask, padding, q)
        output = attend(q, k, v, attn_mask, attn.dropout if self.training else 0.0)
        output = attn.out_proj(output.transpose(1, 2).flatten(2))
        return query + self.dropout_layer(self.proj_drop(output))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, drop: float) -> Tensor:
    """Attend under a mask; on a CPU, leave out what denoising queries keep to them.

    They come first, and no later query sees them.

    Shapes:
        q: (bs, heads, n, dim)
        k, v: (bs, heads, m, dim)
        mask: (..., n, m), True where blocked, or added
        returns: (bs, heads, n, dim)
    """
    first = 0
    if type(mask) is Tensor and mask.is_cpu and not is_traced():
        first = unseen_keys(mask)
    if first == 0:
        mask = None if mask is None else added_mask(mask, q)
        return F.scaled_dot_product_attention(q, k, v, mask, drop)
    among_rest = mask[..., first:, first:]
    if not among_rest.any():
        among_rest = None
    return torch.cat(
        (
            F.scaled_dot_product_attention(
                q[:, :, :first], k, v, added_mask(mask[..., :first, :], q), drop
            ),
            attend(q[:, :, first:], k[:, :, first:], v[:, :, first:], among_rest, drop),
        ),
        2,
    )


def unseen_keys(mask: Tensor) -> int:
    """Count leading keys that no query from there on sees; 0 if it is not square.

    Shapes:
        mask: (..., n, m), bool, True where blocked
    """
    *_, n, m = mask.shape
    if mask.dtype != torch.bool or n != m:
        return 0
    masks = mask.reshape(-1, n, n)
    seen = ~masks[:, -1].all(0)
    first = int(seen.to(torch.uint8).argmax())
    return first if masks[:, first:, :first].all() else 0


def added_mask(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask as attention adds it: -inf where blocked."""
    if mask.dtype == torch.bool:
        mask = like.new_zeros(mask.shape).masked_fill_(mask, -torch.inf)
    return mask.type_as(like)


def _is_mask(mask: Tensor | None) -> bool:
    return mask is None or mask.dtype == torch.bool or mask.is_floating_point()


def _join(mask: Tensor, padding: Tensor, like: Tensor) -> Tensor:
    if mask.dtype == padding.dtype == torch.bool:
        return mask | padding
    return added_mask(mask, like) + added_mask(padding, like)


def set_fused_attention(model: nn.Module, fused: bool = True) -> None:
    """Choose whether mmcv's blocks attend to their own queries by the fused kernel.

    Works on any model of mmdet, before and after loading weights. Left as they are:
    subclasses of mmcv's block, blocks that do not take the batch first, attention
    without biases or with keys of its own.

    Args:
        fused: False gives mmcv's own class back.
    """
    was, becomes = MultiheadAttention, FusedAttention
    if not fused:
        was, becomes = becomes, was
    for block in model.modules():
        if type(block) is was and block.batch_first and _is_usual(block.attn):
            block.__class__ = becomes


def _is_usual(attn: nn.MultiheadAttention) -> bool:
    biases = attn.in_proj_bias is not None and attn.bias_k is None
    return biases and attn.in_proj_weight is not None and not attn.add_zero_attn
