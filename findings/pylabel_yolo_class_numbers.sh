#!/usr/bin/env bash
# pylabel 0.1.55: a COCO file written as YOLO labels with its data file.
#
# Expected: YOLO counts classes from 0, so the two categories 3 and 7 become 0 and 1, the
# places of their names in the data file; or the data file lists eight classes.
# Seen: the labels say 3 and 7, as COCO does, and the data file says `nc: 2`, names
# [ant, zebra]. Only with `cat_id_index=0`, which is not the default, do they fit.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q pylabel==0.1.55 numpy==2.3.5 'pandas<3'
cd "$work"
"$python" -W ignore - <<'PY' 2> log || { cat log; exit 1; }
import json
from importlib.metadata import version
from pathlib import Path

import yaml
from PIL import Image
from pylabel import importer

Path('images').mkdir()
Image.new('RGB', (200, 100)).save('images/1.png')
Path('in.json').write_text(json.dumps({
    'images': [{'id': 1, 'file_name': '1.png', 'width': 200, 'height': 100}],
    'categories': [{'id': 3, 'name': 'ant', 'supercategory': ''},
                   {'id': 7, 'name': 'zebra', 'supercategory': ''}],
    'annotations': [
        {'id': i, 'image_id': 1, 'category_id': kind, 'bbox': [10, 10, 20, 20],
         'area': 400, 'iscrowd': 0} for i, kind in ((1, 7), (2, 3))]}))
print('pylabel', version('pylabel'))
for options, expected in (({}, ['7', '3']), ({'cat_id_index': 0}, ['1', '0'])):
    dataset = importer.ImportCoco('in.json', path_to_images='images')
    folder = Path(f'yolo{len(options)}')
    folder.mkdir()
    dataset.export.ExportToYoloV5(output_path=str(folder / 'labels'), **options)
    lines = (folder / 'labels/1.txt').read_text().split('\n')
    kinds = [line.split()[0] for line in lines if line.strip()]
    data = yaml.safe_load((folder / 'dataset.yaml').read_text())
    print(options, 'classes in the labels:', kinds, 'data file:', data['nc'], data['names'])
    assert kinds == expected
    assert data['nc'] == 2 and data['names'] == ['ant', 'zebra']
PY
