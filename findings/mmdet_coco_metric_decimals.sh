#!/usr/bin/env bash
# mmdet 3.3.0, CocoMetric: the numbers it returns.
#
# Expected: AP as pycocotools computes it; three decimals are how the table is printed.
# Seen: what it returns is rounded to three decimals, and that is all that reaches the log
# files and `save_best`. A model of AP 0.0104 is no better than one of 0.0101, so the
# earlier one is kept as the best; differences between runs come in steps of 0.001. And
# where a model finds nothing at all, it returns no AP of 0, but no number: {}.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0 \
    'setuptools<81' torch==2.13.0 numpy==2.3.5 'opencv-python<5'
cd "$work"
"$python" -W ignore - <<'PY' > log 2>&1 || { tail -20 log; exit 1; }
import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

sys.modules['mmcv.ops'] = sys.modules['mmcv.ops.roi_align'] = MagicMock()  # not used here
import torch
from mmdet.evaluation import CocoMetric
from pycocotools.cocoeval import COCOeval

Path('truth.json').write_text(json.dumps({
    'images': [{'id': 1, 'width': 400, 'height': 400, 'file_name': '1.jpg'}],
    'categories': [{'id': 1, 'name': 'bolt'}],
    'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [300, 300, 20, 20],
                     'area': 400, 'iscrowd': 0}]}))
exact = []
summarize = COCOeval.summarize


def remembering(self):
    summarize(self)
    exact.append(float(self.stats[0]))


COCOeval.summarize = remembering


def evaluate(wrong, right):
    """AP where ``wrong`` false detections score higher than the true one."""
    metric = CocoMetric(ann_file='truth.json', metric='bbox')
    metric.dataset_meta = {'classes': ('bolt',)}
    boxes = [[0., 0., 20., 20.]] * wrong + [[300., 300., 320., 320.]] * right
    metric.process({}, [{'img_id': 1, 'ori_shape': (400, 400), 'pred_instances': {
        'bboxes': torch.tensor(boxes).reshape(-1, 4),
        'scores': torch.linspace(0.9, 0.1, len(boxes)),
        'labels': torch.zeros(len(boxes), dtype=torch.long)}}])
    return dict(metric.compute_metrics(metric.results))


worse, better = evaluate(98, 1)['bbox_mAP'], evaluate(95, 1)['bbox_mAP']
nothing = evaluate(0, 0)
print('pycocotools:', exact, 'CocoMetric:', [worse, better], 'no detection:', nothing)
assert exact[1] > exact[0] + 0.0003
assert worse == better == 0.01
assert nothing == {}
PY
tail -1 log
