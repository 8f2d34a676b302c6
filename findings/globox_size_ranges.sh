#!/usr/bin/env bash
# globox 2.9.0, COCOEvaluator, beside pycocotools 2.0.11: AP by object size.
#
# Expected: a COCO evaluator of boxes gives COCO's twelve numbers; on a file without crowd
# regions, all of them.
# Seen: AP over all sizes is equal. AP by size is not: in the search for a match, an
# object of the asked size takes the detection even if they do not touch (IoU 0), and
# hides the object of another size that the detection found. A detection of 31x31 of an
# object of 33x33 so counts as a false one among the small: AP small is 0.5 beside
# pycocotools' 0.9. In an image without small objects it does not count, as in pycocotools.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q globox==2.9.0 pycocotools==2.0.11 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import contextlib
import io
import json
from pathlib import Path

from globox import AnnotationSet, COCOEvaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

truth = [[10, 10, 20, 20], [100, 100, 33, 33]]
found = [([10, 10, 20, 20], 0.8), ([101, 101, 31, 31], 0.9)]
Path('truth.json').write_text(json.dumps({
    'images': [{'id': 1, 'width': 200, 'height': 200, 'file_name': '1.png'}],
    'categories': [{'id': 1, 'name': 'bolt'}],
    'annotations': [{'id': i, 'image_id': 1, 'category_id': 1, 'bbox': box, 'iscrowd': 0,
                     'area': box[2] * box[3]} for i, box in enumerate(truth, 1)]}))
Path('found.json').write_text(json.dumps([
    {'image_id': 1, 'category_id': 1, 'bbox': box, 'score': score}
    for box, score in found]))
with contextlib.redirect_stdout(io.StringIO()):
    files = COCO('truth.json')
    run = COCOeval(files, files.loadRes('found.json'), 'bbox')
    run.evaluate()
    run.accumulate()
    run.summarize()
objects = AnnotationSet.from_coco(Path('truth.json'))
other = COCOEvaluator(
    ground_truths=objects, predictions=objects.from_results(Path('found.json')))
seen = {'pycocotools': [round(float(run.stats[i]), 3) for i in (1, 3, 4)],
        'globox': [round(float(n), 3) for n in (
            other.ap_50(), other.ap_small(), other.ap_medium())]}
print('AP50, AP small, AP medium:', seen)
assert seen == {'pycocotools': [1, 0.9, 0.8], 'globox': [1, 0.5, 0.8]}
PY
