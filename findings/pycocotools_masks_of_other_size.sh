#!/usr/bin/env bash
# pycocotools 2.0.11, masks (RLE) of images of another size, as when images were halved
# after labelling.
#
# Expected: an error that names the two sizes.
# Seen: `mask.iou` gives -1 without a word, and so does COCOeval: a detection that covers
# its object in full is a false positive, AP 0, as if the model were bad.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q pycocotools==2.0.11 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import contextlib
import io

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def whole(side):
    rle = mask.encode(np.asfortranarray(np.ones((side, side), np.uint8)))
    return dict(rle, counts=rle['counts'].decode())


print('IoU of 100 x 100 with 100 x 100 and with 50 x 50:',
      mask.iou([whole(100)], [whole(100), whole(50)], [0, 0]))


def average_precision(side):
    truth = COCO()
    truth.dataset = dict(
        info={}, images=[dict(id=1, width=100, height=100)],
        categories=[dict(id=1, name='a')],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 100, 100],
                          area=1e4, iscrowd=0, segmentation=whole(100))])
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes([dict(image_id=1, category_id=1, score=0.9,
                                    segmentation=whole(side))])
        judged = COCOeval(truth, found, 'segm')
        judged.evaluate(), judged.accumulate(), judged.summarize()
    return float(judged.stats[0])


seen = {side: average_precision(side) for side in (100, 50)}
print('AP of a mask that covers its object, by the side of the mask:', seen)
assert seen[100] > 0.99 and seen[50] == 0, seen
assert mask.iou([whole(100)], [whole(50)], [0]).item() == -1
PY
