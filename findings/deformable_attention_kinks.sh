#!/usr/bin/env bash
# transformers 5.24.0 on torch 2.13.0: the first gradient of deformable attention.
#
# Expected: single and double precision agree to about 1e-6, as elsewhere.
# Seen: those of `sampling_offsets` differ by more than a half. At the start every point
# of the encoder lies a whole number of pixels from a pixel's centre, so on a centre,
# where bilinear interpolation has a kink: rounding decides which of two slopes is taken.
# A third of a pixel beside, they agree. So do not compare a CPU's gradients with a GPU's
# before a step is taken. The offsets start alike in mmcv and in Deformable-DETR itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 transformers==5.24.0 numpy==2.3.5
cd "$work"
HF_HUB_OFFLINE=1 "$python" -W ignore - <<'PY'
import copy

import torch
import transformers
from transformers import DeformableDetrConfig
from transformers.models.deformable_detr.modeling_deformable_detr import (
    DeformableDetrEncoder,
)

torch.manual_seed(0)
config = DeformableDetrConfig(
    use_timm_backbone=False,
    backbone_config=dict(model_type='resnet'),
    disable_custom_kernels=True,
    d_model=64,
    encoder_layers=1,
    encoder_ffn_dim=64,
    dropout=0.0,
)
sizes = [(12, 16), (6, 8), (3, 4), (2, 2)]
length = sum(height * width for height, width in sizes)
features, given = torch.randn(2, length, 64), torch.randn(2, length, 64)
shapes = torch.tensor(sizes)
starts = torch.cat((shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]))


def gradient(encoder, dtype):
    encoder = copy.deepcopy(encoder).to(dtype)
    output = encoder(
        inputs_embeds=features.to(dtype),
        attention_mask=torch.ones(2, length, dtype=torch.bool),
        spatial_position_embeddings=torch.zeros(2, length, 64, dtype=dtype),
        spatial_shapes=shapes,
        spatial_shapes_list=sizes,
        level_start_index=starts,
        valid_ratios=torch.ones(2, len(sizes), 2, dtype=dtype),
    )
    (output.last_hidden_state * given.to(dtype)).sum().backward()
    return encoder.layers[0].self_attn.sampling_offsets.bias.grad.double()


encoder = DeformableDetrEncoder(config)
print(f'transformers {transformers.__version__}, torch {torch.__version__}')
gaps = []
for shift in (0.0, 0.3):
    with torch.no_grad():
        encoder.layers[0].self_attn.sampling_offsets.bias += shift
    single, double = gradient(encoder, torch.float32), gradient(encoder, torch.float64)
    gaps.append(((single - double).norm() / double.norm()).item())
    print(f'points moved by {shift} pixels: gradients differ by {gaps[-1]:.1e}')
assert gaps[0] > 0.1 and gaps[1] < 1e-5, gaps
PY
