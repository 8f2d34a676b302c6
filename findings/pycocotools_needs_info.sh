#!/usr/bin/env bash
# pycocotools 2.0.8 to 2.0.11: files without the key `info`.
#
# Expected: `info` is free text about a data set; nothing reads it.
# Seen: 2.0.9 and 2.0.10 end in KeyError when detections are loaded beside such a file,
# that is in the first validation of a training; 2.0.8 and 2.0.11 do not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
for version in 2.0.8 2.0.9 2.0.10 2.0.11; do
    "$python" -m pip install -q --disable-pip-version-check pycocotools==$version numpy==2.2.6
    "$python" -W ignore - $version <<'PY'
import sys
from pycocotools.coco import COCO

truth = COCO()
truth.dataset = {
    'images': [{'id': 1, 'width': 9, 'height': 9}],
    'categories': [{'id': 1, 'name': 'bolt'}],
    'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0,
                     'bbox': [1, 1, 4, 4], 'area': 16}]}
truth.createIndex()
found = [{'image_id': 1, 'category_id': 1, 'bbox': [1, 1, 4, 4], 'score': 0.9}]
try:
    truth.loadRes(found)
    seen = 'works'
except KeyError as error:
    seen = f'KeyError: {error}'
print(sys.argv[1], seen)
assert seen == ("KeyError: 'info'" if sys.argv[1] in ('2.0.9', '2.0.10') else 'works')
PY
done
