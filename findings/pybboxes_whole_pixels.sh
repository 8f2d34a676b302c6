#!/usr/bin/env bash
# pybboxes 0.1.6, convert_bbox (COCO, VOC, YOLO, albumentations): boxes with decimals.
#
# Expected: floats stay floats; COCO to YOLO and back is the box that went in, and YOLO to
# YOLO changes nothing.
# Seen: each box is rounded to whole pixels on the way in, towards formats that are
# fractions of the image too. (10.49, 10.49, 4.51, 4.51) comes back as (10, 10, 5, 5), of
# IoU 0.81 with what went in; YOLO's centre 0.123456 becomes 0.1225 in an image of 400.
# Halves go to the even neighbour. No option keeps the decimals.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q pybboxes==0.1.6 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
from importlib.metadata import version

from pybboxes import convert_bbox

SIZE = (400, 300)
box = (10.49, 10.49, 4.51, 4.51)
yolo = convert_bbox(box, from_type='coco', to_type='yolo', image_size=SIZE)
back = convert_bbox(yolo, from_type='yolo', to_type='coco', image_size=SIZE)
half = convert_bbox((10, 20.5, 31, 41.5), from_type='coco', to_type='voc')
print('pybboxes', version('pybboxes'), box, 'to YOLO', yolo, 'and back', back)
assert back == (10, 10, 5, 5)
assert half == (10, 20, 41, 62), half
same = convert_bbox((0.123456, 0.2, 0.01, 0.02), from_type='yolo', to_type='yolo',
                    image_size=SIZE)
print('YOLO to YOLO:', same)
assert same[0] == 0.1225
PY
