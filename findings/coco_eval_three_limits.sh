#!/usr/bin/env bash
# pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0: AP with the three limits of
# detections that mmdet 3.3.0 gives by default, `maxDets = [100, 300, 1000]`.
#
# Expected: one number, since two are drop-in replacements of the first, and AP and AP50 of
# the same detections. Here all are exact, so AP and AP50 are equal.
# Seen: pycocotools gives AP at 100 detections and AP50 beside it at 1000, the last limit:
# 0.505 and 1.000. The other two give both at 1000, so exchanged for the first in mmdet they
# raise the AP of DETRs with 300 queries. No program warns; with [1, 10, 100] all are equal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 \
    numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import contextlib
import io
import json
from pathlib import Path

import faster_coco_eval
import hotcoco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# 200 objects in one image, each found; 200 detections of one class.
boxes = [[20 * (i % 20), 20 * (i // 20), 10, 10] for i in range(200)]
Path('truth.json').write_text(json.dumps({
    'images': [{'id': 1, 'width': 400, 'height': 400, 'file_name': '1.jpg'}],
    'categories': [{'id': 1, 'name': 'bolt'}],
    'annotations': [{'id': i, 'image_id': 1, 'category_id': 1, 'bbox': box, 'area': 100,
                     'iscrowd': 0} for i, box in enumerate(boxes, 1)]}))
Path('found.json').write_text(json.dumps([
    {'image_id': 1, 'category_id': 1, 'bbox': box, 'score': 1 - i / 1000}
    for i, box in enumerate(boxes)]))
seen = {}
for name, load, judge, setting in (
        ('pycocotools', COCO, COCOeval, 'maxDets'),
        ('faster-coco-eval', faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster,
         'maxDets'),
        ('hotcoco', hotcoco.COCO, hotcoco.COCOeval, 'max_dets')):
    with contextlib.redirect_stdout(io.StringIO()):
        files = load('truth.json')
        run = judge(files, files.loadRes('found.json'), 'bbox')
        setattr(run.params, setting, [100, 300, 1000])
        run.evaluate()
        run.accumulate()
        run.summarize()
    seen[name] = [round(float(run.stats[i]), 3) for i in (0, 1)]
    print(name, 'AP, AP50:', *seen[name])
assert seen == {'pycocotools': [0.505, 1.0], 'faster-coco-eval': [1.0, 1.0],
                'hotcoco': [1.0, 1.0]}, seen
PY
