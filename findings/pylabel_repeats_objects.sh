#!/usr/bin/env bash
# pylabel 0.1.55: images without objects, from COCO to COCO.
#
# Expected: such an image stays in the file's list of images, and has no annotation; at
# worst it is left out.
# Seen: it stays, and the object before it in the file is written once more: same image,
# same box and same id. Two such images make three of one object. So the file that comes
# out has more objects than the one that went in, and an evaluator asks for each of them.
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

from PIL import Image
from pylabel import importer

images = [{'id': i, 'file_name': f'{i}.png', 'width': 200, 'height': 100}
          for i in (1, 2, 3)]
for image in images:
    Image.new('RGB', (200, 100)).save(image['file_name'])
Path('in.json').write_text(json.dumps({
    'images': images, 'categories': [{'id': 1, 'name': 'ant', 'supercategory': ''}],
    'annotations': [{'id': i, 'image_id': 1, 'category_id': 1, 'bbox': [x, 10, 20, 20],
                     'area': 400, 'iscrowd': 0} for i, x in ((1, 10), (2, 60))]}))
importer.ImportCoco('in.json', path_to_images='.').export.ExportToCoco('out.json')
print('pylabel', version('pylabel'))
seen = {}
for name in ('in.json', 'out.json'):
    file = json.loads(Path(name).read_text())
    seen[name] = [(a['id'], a['image_id'], a['bbox'][0]) for a in file['annotations']]
    print(name, len(file['images']), 'images; id, image, x of objects:', seen[name])
    assert [image['id'] for image in file['images']] == [1, 2, 3]
assert seen['in.json'] == [(1, 1, 10), (2, 1, 60)]
assert seen['out.json'] == [(0, 1, 10), (1, 1, 60), (1, 1, 60), (1, 1, 60)]
PY
