"""Encoder memory -> combination weights W^D (PaQ-DETR Sec. 3.2, Eq. 5).

Called by `PatternQueryGenerator`. Analysis reads W^D from this module's output.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from .attention import masked_mean
from .feature_fusion import MaskedFeatureFusion

# Spread of the logits before the softmax at the start of training. Near-zero logits
# would make every row of W^D uniform and all queries of an image identical.
INITIAL_LOGIT_STD = 1.0


class PatternWeightGenerator(BaseModule):
    """Content-aware weight generator: W^D = softmax(F_w(avgpool(Z))), Eq. 5.

    F_w is Linear, LayerNorm, ReLU, Linear.

    Args:
        num_queries: Number of queries `nq` (paper: n).
        num_patterns: Number of patterns (paper: m).
        embed_dims: Width `dim` of the encoder memory.
        num_levels: Number of encoder levels.
        hidden_dims: Width of F_w's hidden layer. The last layer holds
            (hidden_dims + 1) * nq * num_patterns parameters, so 900 queries and 150
            patterns fit Table 7's +1.8 M only with a width of 8.
        finest: See `MaskedFeatureFusion`.

    Shapes:
        memory: (bs, sum of h_l * w_l, dim)
        level_sizes: [(h_1, w_1), ...] finest first, plain ints
        memory_mask: (bs, sum of h_l * w_l) bool, True = padding, or None
        output: (bs, nq, num_patterns), rows >= 0 and summing to 1
    """

    def __init__(
        self,
        num_queries: int,
        num_patterns: int,
        embed_dims: int,
        num_levels: int,
        hidden_dims: int,
        finest: bool = False,
    ) -> None:
        super().__init__()
        self.fusion = MaskedFeatureFusion(embed_dims, num_levels, finest)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dims, hidden_dims),
            nn.LayerNorm(hidden_dims),
            nn.ReLU(),
            nn.Linear(hidden_dims, num_queries * num_patterns),
        )
        self.num_patterns = num_patterns

    def init_weights(self) -> None:
        """Give the logits their initial spread."""
        super().init_weights()
        last = self.mlp[-1]
        # LayerNorm and ReLU leave E[x^2] = 1/2 per hidden unit.
        std = INITIAL_LOGIT_STD * (2 / last.in_features) ** 0.5
        nn.init.normal_(last.weight, std=std)
        nn.init.zeros_(last.bias)

    def start_as(self, weights: Tensor) -> None:
        """Answer every image with the same weights, until training has gone on.

        Args:
            weights: (nq, num_patterns), positive, rows summing to 1.
        """
        last = self.mlp[-1]
        nn.init.zeros_(last.weight)
        last.bias.data.copy_(weights.log().flatten())

    def forward(
        self,
        memory: Tensor,
        level_sizes: list[tuple[int, int]],
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        if memory_mask is None:
            valid = memory.new_ones(memory.shape[:2])
        else:
            valid = (~memory_mask.bool()).to(memory.dtype)
            memory = memory.masked_fill(memory_mask.bool()[..., None], 0)
        lengths = [height * width for height, width in level_sizes]
        levels = [
            level.transpose(1, 2).unflatten(2, size)
            for level, size in zip(memory.split(lengths, 1), level_sizes, strict=True)
        ]
        valid = [
            mask.unflatten(1, size)[:, None]
            for mask, size in zip(valid.split(lengths, 1), level_sizes, strict=True)
        ]
        fused, valid = self.fusion(levels, valid)
        pooled = masked_mean(fused, valid, (2, 3)).flatten(1)
        logits = self.mlp(pooled).unflatten(1, (-1, self.num_patterns))
        return torch.softmax(logits, dim=-1)
