#!/usr/bin/env bash
# mmdet 3.3.0: `train()` and `eval()` of its backbones.
#
# Expected: both return the network, as of every torch module, so that
# `backbone = ResNet(50).eval()` is a backbone.
# Seen: of ResNet, Swin, EfficientNet, MobileNetV2, Darknet and CSPNeXt both return None,
# as they override `train` and return nothing; of PVT they return the network. The mode is
# set.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0 \
    'setuptools<81' torch==2.13.0 numpy==2.3.5 'opencv-python<5'
cd "$work"
"$python" -W ignore - <<'PY'
import sys
from unittest.mock import MagicMock

for name in ('', '.carafe', '.merge_cells', '.modulated_deform_conv',
             '.multi_scale_deform_attn', '.nms', '.roi_align'):
    sys.modules[f'mmcv.ops{name}'] = MagicMock()  # not used here
from mmdet.models import backbones

settings = dict(
    ResNet=dict(depth=18), SwinTransformer=dict(embed_dims=12, num_heads=(1, 1, 1, 1)),
    EfficientNet=dict(arch='b0'), MobileNetV2={}, Darknet={}, CSPNeXt={},
    PyramidVisionTransformer={})
for name, given in settings.items():
    backbone = getattr(backbones, name)(**given)
    returned = backbone.eval()
    print(f'{name}: eval() returns {type(returned).__name__}')
    assert not backbone.training
    assert (returned is None) == (name != 'PyramidVisionTransformer')
PY
