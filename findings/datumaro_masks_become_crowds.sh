#!/usr/bin/env bash
# datumaro 1.13.12, export of masks to COCO (`coco_instances`), as CVAT does it too.
#
# Guessed: a mask becomes run lengths, and iscrowd stays 0, as nothing says otherwise.
# Seen: an object with a mask gets iscrowd 1, unless it has an attribute is_crowd that
# says no; crowds are left out of a training and of AP. A polygon of the same object gets
# iscrowd 0; `segmentation_mode='polygons'` turns masks into polygons.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q datumaro==1.13.12 numpy==2.4.6 pillow==12.3.0
cd "$work"
"$python" -W ignore - <<'PY'
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from datumaro import Dataset, DatasetItem
from datumaro.components.annotation import Mask, Polygon
from datumaro.components.media import Image

pixels = np.zeros((80, 100), bool)
pixels[20:40, 10:50] = True
corners = [10, 20, 50, 20, 50, 40, 10, 40]
OBJECTS = {
    'mask': Mask(pixels, label=0),
    'mask_no_crowd': Mask(pixels, label=0, attributes={'is_crowd': False}),
    'polygon': Polygon(corners, label=0),
}


def crowds(**options):
    items = [
        DatasetItem(name, media=Image.from_numpy(np.zeros((80, 100, 3), np.uint8)),
                    annotations=[entry.wrap(id=1, group=1)])
        for name, entry in OBJECTS.items()
    ]
    data = Dataset.from_iterable(items, categories=['dog'])
    data.export('out', 'coco_instances', save_media=False, **options)
    document = json.loads(Path('out/annotations/instances_default.json').read_text())
    names = {image['id']: Path(image['file_name']).stem for image in document['images']}
    return {names[e['image_id']]: e['iscrowd'] for e in document['annotations']}


plain, asked = crowds(), crowds(segmentation_mode='polygons')
print('datumaro', version('datumaro'), 'iscrowd', plain, "'polygons':", asked)
assert plain == {'mask': 1, 'mask_no_crowd': 0, 'polygon': 0}, plain
assert asked == {'mask': 0, 'mask_no_crowd': 0, 'polygon': 0}, asked
PY
