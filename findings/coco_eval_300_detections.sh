#!/usr/bin/env bash
# pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0: AP with more than 100
# detections an image, as DETRs with 300 queries give them.
#
# Expected: with `maxDets = [1, 10, 300]` all three report the AP at 300 detections; or,
# since two are drop-in replacements of the first, all three the same number.
# Seen: the first number is -1 from pycocotools, whose summary looks for 100 in the list
# and finds none, while its AP50 beside it is right. The other two report the AP at 300.
# No program warns. With [1, 10, 100] the three are equal.
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
for limits in ([1, 10, 100], [1, 10, 300]):
    for name, load, judge, setting in (
            ('pycocotools', COCO, COCOeval, 'maxDets'),
            ('faster-coco-eval', faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster,
             'maxDets'),
            ('hotcoco', hotcoco.COCO, hotcoco.COCOeval, 'max_dets')):
        with contextlib.redirect_stdout(io.StringIO()):
            files = load('truth.json')
            run = judge(files, files.loadRes('found.json'), 'bbox')
            setattr(run.params, setting, limits)
            run.evaluate()
            run.accumulate()
            run.summarize()
        seen[name, limits[2]] = [round(float(run.stats[i]), 3) for i in (0, 1)]
        print(name, limits, 'AP, AP50:', seen[name, limits[2]])
for name in ('pycocotools', 'faster-coco-eval', 'hotcoco'):
    assert seen[name, 100] == [0.505, 0.505], seen
    assert seen[name, 300] == [-1.0 if name == 'pycocotools' else 1.0, 1.0], seen
PY
