#!/usr/bin/env bash
# mmengine 0.10.7, DictAction (`--cfg-options` of every OpenMMLab tool): lists of lists.
#
# Expected: `a=1,2,3` is a list without outer brackets, so `a=[1,2],[3,4]` is a list of
# two lists, as `a=[[1,2],[3,4]]` is.
# Seen: the second form works; the first ends in RecursionError, since its first and last
# characters are taken for one pair of brackets. `a=(1,2),3` works, `a=(1),(2)` does not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q mmengine==0.10.7 'setuptools<81' torch==2.13.0 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import argparse

import mmengine
from mmengine.config import DictAction

assert mmengine.__version__ == '0.10.7'
parser = argparse.ArgumentParser()
parser.add_argument('--cfg-options', nargs='+', action=DictAction)
seen = {}
for text in ('a=1,2,3', 'a=[[1,2],[3,4]]', 'a=(1,2),3', 'a=[1,2],[3,4]', 'a=(1),(2)'):
    try:
        seen[text] = parser.parse_args(['--cfg-options', text]).cfg_options['a']
    except RecursionError as error:
        seen[text] = type(error).__name__
    print(text, '->', seen[text])
assert seen['a=1,2,3'] == [1, 2, 3]
assert seen['a=[[1,2],[3,4]]'] == [[1, 2], [3, 4]]
assert seen['a=(1,2),3'] == [(1, 2), 3]
assert seen['a=[1,2],[3,4]'] == seen['a=(1),(2)'] == 'RecursionError'
PY
