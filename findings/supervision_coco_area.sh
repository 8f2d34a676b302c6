#!/usr/bin/env bash
# supervision 0.31.2, YOLO to COCO: the area of an object.
#
# Guessed: a box of 20 x 8 pixels has the area 160, and a square polygon of 10 x 20 has
# 200, as they have by pycocotools.
# Seen: polygons are drawn as masks with their outline in, so that the square has
# 11 x 21 = 231. One polygon in a label file makes masks of its boxes too: the very same
# row has 160 alone and 21 x 9 = 189 beside a polygon. `bbox` is right. COCOeval
# sorts objects into small, medium and large by `area`. With or without OpenCV.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q supervision==0.31.2 numpy==2.4.6 pillow==12.3.0 \
    pycocotools==2.0.11
cd "$work"
"$python" -W ignore - <<'PY'
import json
from pathlib import Path

import supervision
from PIL import Image
from pycocotools import mask

BOX = '0 0.5 0.25 0.2 0.1\n'  # of 100 x 80 pixels: 40, 16, 20 x 8
SQUARE = '0 0.1 0.125 0.2 0.125 0.2 0.375 0.1 0.375\n'  # 10, 10, 10 x 20
for folder in ('images', 'labels'):
    Path(folder).mkdir()
for name, text in (('alone', BOX), ('both', BOX + SQUARE)):
    Image.new('L', (100, 80)).save(f'images/{name}.png')
    Path(f'labels/{name}.txt').write_text(text)
Path('data.yaml').write_text('names: [dog]\n')
supervision.DetectionDataset.from_yolo('images', 'labels', 'data.yaml').as_coco(
    annotations_path='coco.json'
)
content = json.loads(Path('coco.json').read_text())
names = {image['id']: image['file_name'] for image in content['images']}
seen = [
    (names[e['image_id']], [round(v, 3) for v in e['bbox']], round(e['area'], 3))
    for e in content['annotations']
]
print('supervision', supervision.__version__, sorted(seen))
expected = [
    ('alone.png', [40, 16, 20, 8], 160),
    ('both.png', [40, 16, 20, 8], 189),
    ('both.png', [10, 10, 10, 20], 231),
]
assert sorted(seen) == sorted(expected), seen
outline = [[10.0, 10.0, 20.0, 10.0, 20.0, 30.0, 10.0, 30.0]]
area = mask.area(mask.frPyObjects(outline, 80, 100))[0]
print('pycocotools: the square has', area)
assert area == 200
PY
