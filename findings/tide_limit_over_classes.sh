#!/usr/bin/env bash
# tidecv 1.0.1 beside pycocotools 2.0.11: the limit of 100 detections an image.
#
# Expected: TIDE's AP50 is pycocotools' AP50: both keep 100 detections an image and class.
# Seen: pycocotools keeps 100 of each class, TIDE 100 of all classes together. For 300
# detections in an image, as a DETR with 300 queries gives them, the lower 200 are errors
# of the kind "Miss" to TIDE: AP50 is 34 beside pycocotools' 100 where all 300 are
# right. Up to 100 in all, the two agree.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q tidecv==1.0.1 pycocotools==2.0.11 numpy==2.3.5 \
    'opencv-python-headless<5' 'setuptools<81'
cd "$work"
"$python" -W ignore - <<'PY'
import contextlib
import io
import json
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tidecv import TIDE, datasets


def scores(objects):
    """AP50 of detections that equal the truth: three classes, one image."""
    truth, found = [], []
    for i in range(objects):
        x, y = 20 * (i % 20), 20 * (i // 20)
        shared = {'image_id': 1, 'category_id': 1 + i % 3, 'bbox': [x, y, 10, 10]}
        corners = [x, y, x + 10, y, x + 10, y + 10, x, y + 10]
        truth.append({**shared, 'id': i + 1, 'area': 100, 'iscrowd': 0,
                      'segmentation': [corners]})
        found.append({**shared, 'score': 1 - i / 1000})
    Path('truth.json').write_text(json.dumps({
        'images': [{'id': 1, 'width': 400, 'height': 400, 'file_name': '1.jpg'}],
        'categories': [{'id': i, 'name': f'kind {i}'} for i in (1, 2, 3)],
        'annotations': truth}))
    Path('found.json').write_text(json.dumps(found))
    with contextlib.redirect_stdout(io.StringIO()):
        files = COCO('truth.json')
        run = COCOeval(files, files.loadRes('found.json'), 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
        tide = TIDE()
        other = tide.evaluate(datasets.COCO('truth.json'),
                              datasets.COCOResult('found.json'),
                              pos_threshold=0.5, mode=TIDE.BOX)
    return round(100 * float(run.stats[1]), 1), round(other.ap, 1)


for objects in (90, 300):
    print(objects, 'objects, all found: AP50 of pycocotools, TIDE:', scores(objects))
assert scores(90) == (100.0, 100.0)
assert scores(300) == (100.0, 34.0)
PY
