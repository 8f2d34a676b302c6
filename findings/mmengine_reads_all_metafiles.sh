#!/usr/bin/env bash
# mmengine 0.10.7 with mmdet 3.3.0: `_base_ = 'mmdet::dino/dino-4scale_...py'` in a config.
#
# Expected: the text after `mmdet::` is a path in mmdet's config folder; one file is
# opened, and those it is based on.
# Seen: mmengine first searches the model index for it: it opens and parses the
# metafile.yml of all methods of mmdet, 101 files, for each `mmdet::` base anew, also for
# bases like schedules, which no metafile lists. Two such bases read 202.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q mmengine==0.10.7 'setuptools<81' torch==2.13.0 numpy==2.3.5
"$python" -m pip install -q --no-deps mmdet==3.3.0
cd "$work"
"$python" -W ignore - <<'PY'
import builtins
from collections import Counter
from pathlib import Path

from mmengine.config import Config

opened = Counter()
plain_open = builtins.open


def counting_open(file, *arguments, **options):
    opened[Path(str(file)).name] += 1
    return plain_open(file, *arguments, **options)


for bases in (['dino/dino-4scale_r50_8xb2-12e_coco'],
              ['_base_/schedules/schedule_1x', '_base_/datasets/coco_detection']):
    Path('config.py').write_text(f'_base_ = {[f"mmdet::{base}.py" for base in bases]}')
    opened.clear()
    builtins.open = counting_open
    Config.fromfile('config.py')
    builtins.open = plain_open
    print(bases, 'metafile.yml opened', opened['metafile.yml'], 'times')
    assert opened['metafile.yml'] == 101 * len(bases)
PY
