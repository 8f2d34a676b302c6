#!/usr/bin/env bash
# datumaro 1.13.12, import of YOLO labels: class names that `data.yaml` numbers.
#
# Guessed: in `names: {1: dog, 0: cat}`, a form that Ultralytics documents, class 0 is
# the cat, whatever comes first.
# Seen: the numbers are thrown away, and the names count in the order they stand in. Cats
# become dogs and dogs cats, in the COCO file that it exports too; with a gap in the
# numbers (0, 2), class 1 gets the name of class 2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q datumaro==1.13.12 numpy==2.4.6 pillow==12.3.0
cd "$work"
"$python" - <<'PY'
import json
from importlib.metadata import version
from pathlib import Path

import datumaro
from PIL import Image


def name_of(number: int, names: str) -> str:
    """Import one box of this class, export it as COCO and return its class there."""
    root = Path(f'data{len(list(Path().glob("data*")))}')
    for folder in ('images/train', 'labels/train'):
        (root / folder).mkdir(parents=True)
    Image.new('L', (100, 80)).save(root / 'images/train/a.png')
    (root / 'labels/train/a.txt').write_text(f'{number} 0.5 0.25 0.2 0.1\n')
    (root / 'data.yaml').write_text(f'names: {names}\ntrain: images/train\n')
    datumaro.Dataset.import_from(str(root), 'yolo').export(
        str(root / 'out'), 'coco_instances', save_media=False
    )
    (file,) = (root / 'out/annotations').iterdir()
    content = json.loads(file.read_text())
    categories = {entry['id']: entry['name'] for entry in content['categories']}
    (entry,) = content['annotations']
    return categories[entry['category_id']]


seen = {
    (number, names): name_of(number, names)
    for number, names in (
        (0, '{0: cat, 1: dog}'),
        (0, '{1: dog, 0: cat}'),
        (1, '{1: dog, 0: cat}'),
        (1, '{0: cat, 2: dog}'),
    )
}
for (number, names), name in seen.items():
    print(f'datumaro {version("datumaro")}: class {number} of {names} is {name}')
assert list(seen.values()) == ['cat', 'dog', 'cat', 'dog'], seen
PY
