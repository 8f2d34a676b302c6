#!/usr/bin/env bash
# torch 2.13.0: the context manager torch.serialization.safe_globals, and what was allowed
# before it.
#
# Expected: on leaving it, the list of classes that `weights_only` lets through is what it
# was on entering.
# Seen: what it was given is struck off, also if `add_safe_globals` had put it there
# before. OneDL's mmengine 0.10.12 opens every checkpoint under such a context, so after
# its first load a program can no longer open the same file with its own allow-list.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
from datetime import date

import torch
from torch.serialization import add_safe_globals, get_safe_globals, safe_globals

add_safe_globals([date])
assert date in get_safe_globals()
with safe_globals([date]):
    assert date in get_safe_globals()
print(f'torch {torch.__version__}: still allowed afterwards:', date in get_safe_globals())
assert date not in get_safe_globals()
PY
