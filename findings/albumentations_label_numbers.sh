#!/usr/bin/env bash
# albumentations 2.0.8: whole numbers in `label_fields`, e.g. COCO's annotation ids.
#
# Expected: what goes in beside a box comes out unchanged if the box is kept; at worst as
# a numpy integer.
# Seen: numbers travel in one float32 array with the boxes. They come out as floats
# (category 1 as 1.0), and above 2**24 as other numbers: COCO's own annotation
# 900100581904 (a crowd) as 900100587520.0, and 16777217 as 16777216.0. Strings are kept.
# The boxes lose digits too: a flip of 10.3 in an image of 403 gives 362.59999, not 362.6.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q albumentations==2.0.8 numpy==2.3.5
cd "$work"
NO_ALBUMENTATIONS_UPDATE=1 "$python" -W ignore - <<'PY'
import albumentations
import numpy as np

flip = albumentations.Compose(
    [albumentations.HorizontalFlip(p=1)],
    bbox_params=albumentations.BboxParams('coco', label_fields=['ids', 'names']))
out = flip(
    image=np.zeros((301, 403, 3), np.uint8),
    bboxes=[[10.3, 20.7, 30.1, 40.9], [20, 20, 5, 5], [30, 30, 5, 5]],
    ids=[1, 16777217, 900100581904], names=['one', '16777217', '900100581904'])
print('albumentations', albumentations.__version__, out['ids'], out['names'])
print('first box:', out['bboxes'][0])
assert [float(number) for number in out['ids']] == [1, 16777216, 900100587520]
assert all(isinstance(number, float) for number in out['ids'])
assert out['names'] == ['one', '16777217', '900100581904']
assert 1e-6 < abs(out['bboxes'][0][0] - (403 - 10.3 - 30.1)) < 1e-4
PY
