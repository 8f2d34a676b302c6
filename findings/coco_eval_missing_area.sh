#!/usr/bin/env bash
# pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0: objects without `area`.
#
# Expected: they are refused, as pycocotools refuses them, or the area of the box stands
# in for the missing one.
# Seen: pycocotools stops with KeyError. hotcoco takes the box: an object of 200x200
# counts as large. faster-coco-eval takes 0 and says nothing: every object counts as
# small, so AP of small objects holds the whole data set, and AP of medium and large ones
# is -1. AP over all sizes is the same in both.
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

box = [10, 10, 200, 200]
Path('truth.json').write_text(json.dumps({
    'images': [{'id': 1, 'width': 300, 'height': 300, 'file_name': '1.jpg'}],
    'categories': [{'id': 1, 'name': 'bolt'}],
    'annotations': [
        {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': box, 'iscrowd': 0}]}))
Path('found.json').write_text(json.dumps([
    {'image_id': 1, 'category_id': 1, 'bbox': box, 'score': 0.9}]))
seen = {}
for name, load, judge in (
        ('pycocotools', COCO, COCOeval),
        ('faster-coco-eval', faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
        ('hotcoco', hotcoco.COCO, hotcoco.COCOeval)):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            files = load('truth.json')
            run = judge(files, files.loadRes('found.json'), 'bbox')
            run.evaluate()
            run.accumulate()
            run.summarize()
        seen[name] = [round(float(run.stats[i]), 3) for i in (0, 3, 4, 5)]
    except KeyError as error:
        seen[name] = repr(error)
    print(name, 'AP all, small, medium, large:', seen[name])
assert seen['pycocotools'] == "KeyError('area')"
assert seen['faster-coco-eval'] == [1, 1, -1, -1]
assert seen['hotcoco'] == [1, -1, -1, 1]
PY
