#!/usr/bin/env bash
# efficientnet-lite-pytorch 0.1.0, EfficientNet-Lite0: images of other sizes than 224.
#
# Expected: convolutions pad as TensorFlow's SAME does, for any image, as the README says
# that it is consistent with TensorFlow: a stride of 2 halves the side, rounded up.
# Seen: the padding is worked out once, for 224, so odd sides are rounded down: an image of
# 301x223 gives 150x111 where SAME gives 151x112, and at stride 32 9x6 in place of 10x7.
# What is left of SAME's numbers is not among them: each lies a pixel beside, so all values
# differ. Of images with even sides the two are equal. No word is said.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5 efficientnet-lite-pytorch==0.1.0
cd "$work"
"$python" -W ignore - <<'PY'
from math import ceil

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch.nn import functional

network = EfficientNet.from_name('efficientnet-lite0').eval()
stem = network._conv_stem


def same(images):
    """The first convolution, 3x3 of stride 2, padded as TensorFlow does."""
    h, w = ((ceil(n / 2) - 1) * 2 + 3 - n for n in images.shape[2:])
    images = functional.pad(images, (w // 2, w - w // 2, h // 2, h - h // 2))
    return functional.conv2d(images, stem.weight, stride=2)


seen = {}
for size in ((224, 224), (256, 320), (301, 223), (257, 257)):
    images = torch.rand(1, 3, *size)
    with torch.no_grad():
        here, wanted = stem(images), same(images)
        last = network.extract_features(images)
    seen[size] = tuple(here.shape[2:]), tuple(last.shape[2:])
    print(f'{size}: {seen[size][0]} at stride 2, SAME {tuple(wanted.shape[2:])}; '
          f'{seen[size][1]} at stride 32, SAME {tuple(ceil(n / 32) for n in size)}')
    if size[0] % 2:
        assert here.shape != wanted.shape
        y, x = here.shape[2:]
        share = ((here - wanted[..., :y, :x]).abs() > 1e-3).float().mean().item()
        print(f'  values that differ: {share:.0%}')
        assert share > 0.9
    else:
        assert torch.allclose(here, wanted, atol=1e-5)
assert seen[301, 223] == ((150, 111), (9, 6)) and seen[257, 257] == ((128, 128), (8, 8))
PY
