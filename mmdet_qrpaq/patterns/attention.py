"""Channel and coordinate attention that do not see padding (PaQ-DETR Sec. 3.2).

Called by `FusionStep`. The paper cites ECA-Net [36] and coordinate attention [14];
both average over positions, here over those of the image only.
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


def masked_mean(x: Tensor, valid: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Return the mean of `x` over the valid positions of `dim`, kept as size 1.

    In fp32: a half-precision sum over thousands of positions can overflow. A row
    without any valid position has mean 0.

    Shapes:
        x: (bs, dim, h, w), zero wherever valid is 0
        valid: (bs, 1, h, w) float
    """
    total = x.float().sum(dim, keepdim=True)
    return (total / valid.float().sum(dim, keepdim=True).clamp(min=1)).type_as(x)


class EfficientChannelAttention(BaseModule):
    """Scales each channel by a gate read from its neighbours' means (ECA-Net).

    Args:
        kernel_size: Channels seen by a gate. ECA-Net's rule, |log2(C) / 2 + 1 / 2|
            to the next odd number, gives 5 for 256 channels.

    Shapes:
        x: (bs, dim, h, w), valid: (bs, 1, h, w), output: (bs, dim, h, w)
    """

    def __init__(self, kernel_size: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        mean = masked_mean(x, valid, (2, 3)).flatten(1)
        gate = self.conv(mean[:, None]).squeeze(1).sigmoid()
        return x * gate[:, :, None, None]


class CoordinateAttention(BaseModule):
    """Scales each position by a gate for its row and a gate for its column.

    Args:
        embed_dims: Channels `dim` of the map.
        reduction: Channel reduction of the shared bottleneck (32 in the original).

    Shapes:
        x: (bs, dim, h, w), valid: (bs, 1, h, w), output: (bs, dim, h, w)

    Paper vs here: the original normalises the bottleneck with BatchNorm, which ties
    an image to its batch; here LayerNorm over channels.
    """

    def __init__(self, embed_dims: int, reduction: int = 32) -> None:
        super().__init__()
        hidden = max(8, embed_dims // reduction)
        self.squeeze = nn.Linear(embed_dims, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.row_gate = nn.Linear(hidden, embed_dims)
        self.column_gate = nn.Linear(hidden, embed_dims)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        height = x.shape[2]
        rows = masked_mean(x, valid, 3).flatten(2)
        columns = masked_mean(x, valid, 2).flatten(2)
        # (bs, h + w, dim): rows and columns share the bottleneck
        lines = torch.cat((rows, columns), dim=2).transpose(1, 2)
        lines = F.hardswish(self.norm(self.squeeze(lines)))
        row = self.row_gate(lines[:, :height]).sigmoid().transpose(1, 2)
        column = self.column_gate(lines[:, height:]).sigmoid().transpose(1, 2)
        return x * row[..., :, None] * column[..., None, :]
