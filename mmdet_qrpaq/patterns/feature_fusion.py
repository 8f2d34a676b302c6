"""Multi-scale encoder memory -> one fused map Z (PaQ-DETR Sec. 3.2).

Called by `PatternWeightGenerator`, feeds its average pool. Everything here ignores
padding: what an image yields must not depend on the images it is batched with.
"""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from .attention import CoordinateAttention, EfficientChannelAttention


class FusionStep(BaseModule):
    """Adds the upsampled coarser map to a finer one and refines the sum.

    PaQ-DETR Sec. 3.2, 'multi-scale feature fusion': element-wise addition, channel
    attention, spatial attention, and a skip connection around the two attentions.

    Args:
        embed_dims: Width `dim` of the maps.

    Shapes:
        fine: (bs, dim, h, w)
        coarse: (bs, dim, h', w') with h' <= h and w' <= w
        valid: (bs, 1, h, w) float, 1 on the image and 0 on padding
        output: (bs, dim, h, w)
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.channel_attention = EfficientChannelAttention()
        self.coordinate_attention = CoordinateAttention(embed_dims)

    def forward(self, fine: Tensor, coarse: Tensor, valid: Tensor) -> Tensor:
        height, width = fine.shape[-2:]
        # A whole factor, then a crop: with `size=` the source row of a pixel would
        # depend on how far the batch is padded.
        rows, columns = coarse.shape[-2:]
        # Rounded up without a negative number, which ONNX divides otherwise.
        factor = ((height + rows - 1) // rows, (width + columns - 1) // columns)
        coarse = F.interpolate(coarse, scale_factor=factor, mode='nearest')
        fused = (fine + coarse[..., :height, :width]) * valid
        refined = self.channel_attention(fused, valid)
        return fused + self.coordinate_attention(refined, valid)


class MaskedFeatureFusion(BaseModule):
    """Feature extraction and top-down fusion of the encoder levels.

    PaQ-DETR Sec. 3.2. Each level passes a 1x1 convolution, a dilated 3x3 convolution
    and ReLU (weights shared over levels: Table 7 leaves +1.8 M parameters for the
    whole generator). Levels are then fused from the coarsest to the second finest, or
    to the finest.

    Args:
        embed_dims: Width `dim` of the encoder memory.
        num_levels: Number of encoder levels; sets the number of fusion steps.
        finest: Whether the finest level is fused, too.
        dilation: Dilation of the 3x3 convolution.

    Shapes:
        levels: list of (bs, dim, h_l, w_l), finest first
        valid: list of (bs, 1, h_l, w_l) float, 1 on the image and 0 on padding
        output: Z (bs, dim, h, w) and its valid map (bs, 1, h, w), of the finest level
            that is fused

    Paper vs here: The text fuses all levels 'from top to bottom', and gives Z the size
    h_2 x w_2, that of the second finest. Detectors with one level skip the fusion.
    """

    def __init__(
        self, embed_dims: int, num_levels: int, finest: bool = False, dilation: int = 2
    ) -> None:
        super().__init__()
        self.first = 0 if finest or num_levels == 1 else 1
        self.reduce = nn.Conv2d(embed_dims, embed_dims, 1)
        self.dilated = nn.Conv2d(
            embed_dims, embed_dims, 3, padding=dilation, dilation=dilation
        )
        self.steps = nn.ModuleList(
            FusionStep(embed_dims) for _ in range(num_levels - self.first - 1)
        )

    def extract(self, level: Tensor, valid: Tensor) -> Tensor:
        """Apply 1x1 and dilated 3x3 convolution and ReLU; padding stays zero."""
        reduced = self.reduce(level) * valid
        return F.relu(self.dilated(reduced)) * valid

    def forward(
        self, levels: list[Tensor], valid: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        levels, valid = levels[self.first :], valid[self.first :]
        fused = self.extract(levels[-1], valid[-1])
        for step, level, mask in zip(
            self.steps, levels[-2::-1], valid[-2::-1], strict=True
        ):
            fused = step(self.extract(level, mask), fused, mask)
        return fused, valid[0]
