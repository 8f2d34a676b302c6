#!/usr/bin/env bash
# mmengine 0.10.7 with mmdet 3.3.0: what a base like 'mmdet::dino/...' in a config reads.
#
# Expected: the name of the package gives a folder, and the file below it is opened.
# Seen: for each such base mmengine first opens and parses mmdet's model-index.yml and all
# metafiles it names (102), a quarter of a second of CPU, only to learn whether the config
# is listed there; two bases read them twice. Configs that stand on several, or tests that
# read many, spend most of their time so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q mmengine==0.10.7 mmdet==3.3.0 mmcv-lite==2.1.0 \
    'setuptools<81' torch==2.13.0 numpy==2.3.5
cd "$work"
echo "_base_ = ['mmdet::_base_/default_runtime.py']" > one.py
echo "_base_ = ['mmdet::_base_/default_runtime.py', 'mmdet::_base_/datasets/coco_detection.py']" > two.py
"$python" -W ignore - <<'PY'
import sys
import time

import mmengine
from mmengine.config import Config

assert mmengine.__version__ == '0.10.7'
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == 'open' else None)
for name, most in (('one.py', 1), ('two.py', 2)):
    opened.clear()
    started = time.process_time()
    Config.fromfile(name)
    seconds = time.process_time() - started
    yaml = [x for x in opened if isinstance(x, str) and x.endswith(('.yml', '.yaml'))]
    print(f'{name}: {len(yaml)} YAML files read for {most} base(s), {seconds:.2f} s of CPU')
    assert len(yaml) >= 100 * most, len(yaml)
PY
