#!/usr/bin/env bash
# onedl-mmcv 2.3.6 from PyPI, installed by pip beside torch 2.13.0: no operators, no word.
#
# Expected: with torch in the environment, pip compiles the C++ operators, or stops since
# it cannot (mmcv 2.1.0, from which it comes, stops: its setup.py imports what pip's
# isolated build lacks).
# Seen (Linux x86_64, CPython 3.11, pip 23.2): PyPI has sources only. pip builds them in
# an environment of their own; [build-system] asks for no torch, setup.py catches the
# missing import and builds no extension. pip ends with 0 in seconds, `import mmcv` works,
# and the first `import mmcv.ops` (any detector of mmdet) ends in "No module named
# 'mmcv._ext'". With --no-build-isolation the same line compiles for half an hour.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5
"$python" -c 'import torch; print("torch", torch.__version__)'
# --no-cache-dir: a wheel that was compiled earlier must not serve.
"$python" -m pip install --no-cache-dir onedl-mmcv==2.3.6 onedl-mmengine==0.10.12 \
    'setuptools<81' > "$work/log"
cd "$work"
"$python" - <<'PY'
from importlib import metadata

import mmcv

assert mmcv.__version__ == '2.3.6', mmcv.__version__
binaries = [f for f in metadata.files('onedl-mmcv') if f.suffix == '.so']
assert not binaries, binaries
try:
    import mmcv.ops
except ModuleNotFoundError as error:
    assert error.name == 'mmcv._ext', error
    print('mmcv', mmcv.__version__, 'is installed; importing mmcv.ops:', error)
else:
    raise SystemExit('mmcv.ops can be imported: this has changed')
PY
