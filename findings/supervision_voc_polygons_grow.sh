#!/usr/bin/env bash
# supervision 0.31.2, DetectionDataset: a COCO file, written as Pascal VOC and read again.
#
# Expected: boxes of whole pixels come back as they were, whether or not the object has a
# polygon too.
# Seen: an object without polygon comes back as it was; one with a polygon comes back one
# pixel wider and one higher. The polygon is drawn as a mask that holds both of its edges
# (31x21 pixels for 30x20), and VOC's box is taken from the mask. By way of YOLO files the
# same object keeps its size.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q supervision==0.31.2 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import json
from pathlib import Path

import supervision
from PIL import Image
from supervision import DetectionDataset

box = [10, 20, 30, 20]
Path('images').mkdir()
objects = []
for image, polygons in ((1, [[10, 20, 40, 20, 40, 40, 10, 40]]), (2, [])):
    Image.new('RGB', (200, 100)).save(f'images/{image}.png')
    objects.append({'id': image, 'image_id': image, 'category_id': 1, 'bbox': box,
                    'area': 600, 'iscrowd': 0, 'segmentation': polygons})
Path('in.json').write_text(json.dumps({
    'info': {}, 'licenses': [], 'categories': [{'id': 1, 'name': 'a', 'supercategory': ''}],
    'images': [{'id': i, 'file_name': f'{i}.png', 'width': 200, 'height': 100}
               for i in (1, 2)], 'annotations': objects}))


def boxes(dataset):
    return {Path(path).stem: found.xyxy.tolist()[0] for path, _, found in dataset}


start = DetectionDataset.from_coco('images', 'in.json')
start.as_pascal_voc('voc/images', 'voc/xml')
start.as_yolo('yolo/images', 'yolo/labels', 'yolo/data.yaml')
voc = boxes(DetectionDataset.from_pascal_voc('voc/images', 'voc/xml'))
yolo = boxes(DetectionDataset.from_yolo('yolo/images', 'yolo/labels', 'yolo/data.yaml'))
print('supervision', supervision.__version__, '(1: with polygon, 2: without)')
print('COCO', boxes(start), '\nVOC ', voc, '\nYOLO', yolo)
assert boxes(start) == {'1': [10, 20, 40, 40], '2': [10, 20, 40, 40]}
assert voc == {'1': [10, 20, 41, 41], '2': [10, 20, 40, 40]}
assert yolo == {'1': [10, 20, 40, 40], '2': [10, 20, 40, 40]}
PY
