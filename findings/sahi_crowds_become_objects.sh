#!/usr/bin/env bash
# sahi 0.12.8, its `Coco` (slicing, merging, subsampling of COCO files): crowd regions.
#
# Expected: read a COCO file and write it: `iscrowd` and the ids of the images are what
# they were.
# Seen: every `iscrowd` is 0 afterwards. A crowd region, which a detector must neither
# learn nor be judged by, is an ordinary object from then on: detections equal to the one
# real object score AP 1 with the file that went in, and 0.505 with the one that came out.
# Images are numbered anew from 1 (5, 9 become 1, 2), so predictions made for the old file
# do not fit either. Category ids are kept. It logs that it leaves out the region's RLE,
# and not that the flag goes too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q sahi==0.12.8 pycocotools==2.0.11 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY' 2> log || { cat log; exit 1; }
import contextlib
import io
import json
from pathlib import Path

from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sahi.utils.coco import Coco

one, crowd = [10, 10, 30, 20], [60, 50, 100, 40]
images = [{'id': i, 'file_name': f'{i}.png', 'width': 200, 'height': 100} for i in (5, 9)]
for image in images:
    Image.new('RGB', (200, 100)).save(image['file_name'])
runs = [60 * 100 + 50, 40] + [60, 40] * 99 + [10 + 40 * 100]
Path('in.json').write_text(json.dumps({
    'images': images, 'categories': [{'id': 7, 'name': 'bolt', 'supercategory': ''}],
    'annotations': [
        {'id': 1, 'image_id': 9, 'category_id': 7, 'bbox': one, 'area': 600,
         'iscrowd': 0, 'segmentation': [[10, 10, 40, 10, 40, 30, 10, 30]]},
        {'id': 2, 'image_id': 9, 'category_id': 7, 'bbox': crowd, 'area': 4000,
         'iscrowd': 1, 'segmentation': {'size': [100, 200], 'counts': runs}}]}))
Path('out.json').write_text(
    json.dumps(Coco.from_coco_dict_or_path('in.json', image_dir='.').json))


def ap(name):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(name)
        image = truth.imgs[max(truth.imgs)]['id']
        run = COCOeval(truth, truth.loadRes([
            {'image_id': image, 'category_id': 7, 'bbox': one, 'score': 0.9}]), 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    return round(float(run.stats[0]), 3)


for name in ('in.json', 'out.json'):
    file = json.loads(Path(name).read_text())
    seen = {'images': [i['id'] for i in file['images']], 'AP': ap(name)}
    for key in ('category_id', 'iscrowd', 'bbox'):
        seen[key] = [a[key] for a in file['annotations']]
    print(name, seen)
    first = name == 'in.json'
    assert seen['images'] == ([5, 9] if first else [1, 2])
    assert seen['iscrowd'] == ([0, 1] if first else [0, 0])
    assert seen['category_id'] == [7, 7] and seen['bbox'] == [one, crowd]
    assert seen['AP'] == (1 if first else 0.505)
PY
