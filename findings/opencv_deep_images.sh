#!/usr/bin/env bash
# OpenCV 4.10.0 and 5.0.0, Pillow 11.3.0: images with more than eight bits, as colours.
#
# Expected: the range of an image is scaled to 0 to 255, or there is a warning.
# Seen: of 16 bits OpenCV keeps the upper eight, so that an image of a 12-bit camera
# (0 to 4095) has values to 16 and is black to the eye; Pillow's `convert('RGB')` cuts
# them off at 255, so that it is white. A TIFF of floats OpenCV cannot decode at all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
for version in 4.10.0.84 5.0.0.93; do
    "$python" -m pip install -q --disable-pip-version-check pillow==11.3.0 numpy==2.2.6 \
        opencv-python-headless==$version
    "$python" -W ignore - 2>"$work/log" <<'PY'
import io

import cv2
import numpy as np
from PIL import Image

ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def decode(image, suffix, flag=cv2.IMREAD_COLOR):
    return cv2.imdecode(cv2.imencode(suffix, image)[1], flag)


for suffix in ('.png', '.tif'):
    seen = decode(ramp, suffix)
    print('OpenCV', cv2.__version__, suffix, 'of 12 bits:', seen.min(), 'to', seen.max())
    assert seen.dtype == np.uint8 and seen.max() in (15, 16)
    file = io.BytesIO(cv2.imencode(suffix, ramp)[1].tobytes())
    seen = np.asarray(Image.open(file).convert('RGB'))
    print('Pillow', suffix, 'of 12 bits:', (seen == 255).mean().round(2), 'of it is white')
    assert np.array_equal(seen[..., 0], np.minimum(ramp, 255))
seen = decode(np.float32(ramp / 4095), '.tif')
print('OpenCV', cv2.__version__, 'floats from 0 to 1:', seen)
assert seen is None
assert decode(np.float32(ramp / 4095), '.tif', cv2.IMREAD_UNCHANGED).max() == 1
PY
done
