#!/usr/bin/env bash
# pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0: the annotation with id 0.
#
# Expected: an id is a name, 0 as good as 1; and two drop-in replacements of pycocotools
# give its AP on every file.
# Seen: pycocotools stores for each detection the id of the object it matched, and reads 0
# as "none": the object with id 0 can never be found. Detections equal to the truth score
# AP 0.5 for a class of one image of two objects, and 0 if it is the only object.
# faster-coco-eval repeats this to the digit, hotcoco counts the object. globox 2.9.0 and
# pylabel 0.1.55 write COCO files whose ids start at 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 \
    globox==2.9.0 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import contextlib
import io
import json
from pathlib import Path

import faster_coco_eval
import globox
import hotcoco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def truth(first):
    return {
        'images': [{'id': 1, 'width': 100, 'height': 100, 'file_name': '1.jpg'}],
        'categories': [{'id': 1, 'name': 'bolt'}],
        'annotations': [
            {'id': first + i, 'image_id': 1, 'category_id': 1, 'iscrowd': 0,
             'bbox': [40 * i, 10, 20, 20], 'area': 400} for i in range(2)]}


def scores(coco):
    Path('truth.json').write_text(json.dumps(coco))
    found = [{'image_id': 1, 'category_id': 1, 'bbox': a['bbox'], 'score': 0.9}
             for a in coco['annotations']]
    Path('found.json').write_text(json.dumps(found))
    seen = {}
    for name, load, judge in (
            ('pycocotools', COCO, COCOeval),
            ('faster-coco-eval', faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
            ('hotcoco', hotcoco.COCO, hotcoco.COCOeval)):
        with contextlib.redirect_stdout(io.StringIO()):
            files = load('truth.json')
            run = judge(files, files.loadRes('found.json'), 'bbox')
            run.evaluate()
            run.accumulate()
            run.summarize()
        seen[name] = round(float(run.stats[0]), 3)
    return seen


for first in (1, 0):
    seen = scores(truth(first))
    print(f'ids from {first}: AP', seen)
    low = 1.0 if first else 0.252
    assert seen == {'pycocotools': low, 'faster-coco-eval': low, 'hotcoco': 1.0}

Path('in.json').write_text(json.dumps(truth(1)))
globox.AnnotationSet.from_coco(Path('in.json')).save_coco(Path('out.json'))
ids = [a['id'] for a in json.loads(Path('out.json').read_text())['annotations']]
print('globox writes ids', ids)
assert ids == [0, 1]
PY
