#!/usr/bin/env bash
# datumaro 1.13.12, export of Pascal VOC (`voc_detection`), as CVAT does it too.
#
# Guessed: every image gets an XML file; one without objects has no <object> in it.
# Seen: an image without objects is saved and listed in ImageSets/Main, but has no XML
# file. Who goes by the XML files loses it; who goes by the list misses a file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q datumaro==1.13.12 numpy==2.4.6 pillow==12.3.0
cd "$work"
"$python" -W ignore - <<'PY'
from importlib.metadata import version
from pathlib import Path

import numpy as np
from datumaro import Dataset, DatasetItem
from datumaro.components.annotation import Bbox
from datumaro.components.media import Image

items = [
    DatasetItem(
        name,
        subset='train',
        media=Image.from_numpy(np.zeros((80, 100, 3), np.uint8)),
        annotations=[Bbox(10, 20, 30, 40, label=0, id=1, group=1)] * count,
    )
    for name, count in (('full', 1), ('empty', 0))
]
data = Dataset.from_iterable(items, categories=['dog'])
data.export('out', 'voc_detection', save_media=True)
seen = {
    folder: sorted(path.stem for path in Path('out', folder).iterdir())
    for folder in ('JPEGImages', 'Annotations')
}
listed = sorted(Path('out/ImageSets/Main/train.txt').read_text().split())
back = {i.id: len(i.annotations) for i in Dataset.import_from('out', 'voc_detection')}
print('datumaro', version('datumaro'), seen, 'listed', listed, 'read again', back)
assert seen == {'JPEGImages': ['empty', 'full'], 'Annotations': ['full']}, seen
assert listed == ['empty', 'full'], listed
PY
