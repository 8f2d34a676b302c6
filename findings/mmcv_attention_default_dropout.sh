#!/usr/bin/env bash
# mmcv-lite 2.1.0, mmcv.cnn.bricks.transformer.MultiheadAttention.
#
# Expected: two blocks built with the same arguments have the same dropout.
# Seen: the default of `dropout_layer` is one dict for all blocks, and the old argument
# `dropout=0.1`, which mmdet's Deformable-DETR and Conditional-DETR still pass, writes into
# it. Every block built later in the process with the default drops 0.1 of its output, too:
# a model depends on what was built before it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5 mmengine==0.10.7 'setuptools<80'
"$python" -m pip install -q mmcv-lite==2.1.0
cd "$work"
"$python" -W ignore - <<'PY'
from mmcv.cnn.bricks.transformer import MultiheadAttention


def dropout():
    return MultiheadAttention(16, 4).dropout_layer


before = dropout()
MultiheadAttention(16, 4, dropout=0.1)  # another model
after = dropout()
print('the same call before:', before, 'and after:', after)
assert getattr(before, 'p', 0) == 0 and after.p == 0.1, (before, after)
PY
