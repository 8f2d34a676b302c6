#!/usr/bin/env bash
# datumaro 1.13.12, import of YOLO labels as Ultralytics lays them out (`data.yaml`).
#
# Guessed: a label file is read, or refused by name: columns may be parted by any white
# space, and `1e-05` is what Python writes for a small width.
# Seen: while it looks for label files, it splits each file's first line at single spaces
# and asks for five fields of digits and dots. A file that begins with a blank line or a
# byte order mark, or whose first line holds a tab, two spaces, a space at its end, a
# number as 1e-1, or a polygon, is left out with its image: no word, no error. If only a
# later line is so, it is read (all but the polygon, which is an error there).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q datumaro==1.13.12 numpy==2.4.6 pillow==12.3.0
cd "$work"
"$python" - <<'PY'
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import datumaro
from PIL import Image

logging.basicConfig(level=logging.WARNING, format='logged: %(message)s')
warnings.simplefilter('always')
BOX = '0 0.5 0.25 0.2 0.1\n'
FILES = {
    'plain': BOX,
    'empty': '',
    'later': BOX + BOX.replace(' ', '\t') + '\n' + BOX.replace('0.1\n', '1e-1\n'),
    'blank_line_first': '\n' + BOX,
    'byte_order_mark': '\ufeff' + BOX,
    'tabs': BOX.replace(' ', '\t'),
    'two_spaces': BOX.replace(' ', '  '),
    'space_at_the_end': BOX.replace('\n', ' \n'),
    'exponent': '0 0.5 0.25 0.2 1e-1\n',
    'polygon': '0 0.1 0.1 0.3 0.1 0.1 0.6\n',
}
for name, text in FILES.items():
    for folder, suffix in (('images', 'png'), ('labels', 'txt')):
        path = Path('data', folder, 'train', f'{name}.{suffix}')
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == 'txt':
            path.write_text(text, encoding='utf-8')
        else:
            Image.new('L', (100, 80)).save(path)
Path('data/data.yaml').write_text('names: [dog]\ntrain: images/train\n')
items = datumaro.Dataset.import_from('data', 'yolo')
seen = {item.id: len(item.annotations) for item in items}
print('datumaro', version('datumaro'), 'reads', seen, 'of', len(FILES), 'images')
assert seen == {'plain': 1, 'empty': 0, 'later': 3}, seen
PY
