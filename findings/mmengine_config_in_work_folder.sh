#!/usr/bin/env bash
# mmengine 0.10.7, Runner with a config file that lies in its work folder.
#
# Expected: the runner keeps a copy of the config beside the logs, under a name of its own,
# or leaves a file alone that is there.
# Seen: it writes the config under the same name into the work folder, so a config that
# lies there is replaced: comments, `_base_` and variables are gone, all bases are merged in.
# No word is said.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5 mmengine==0.10.7 'setuptools<80'
cd "$work"
"$python" -W ignore - <<'PY' 2>&1 | grep -v ' - mmengine - '
import logging
from pathlib import Path

from torch import nn
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner


@MODELS.register_module()
class Model(BaseModel):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, *inputs, **others):
        return {}


folder = Path('work')
folder.mkdir()
Path('base.py').write_text("model = dict(type='Model', width=4)\n")
text = "_base_ = '../base.py'\nwidth = 8  # twice as wide: small objects\nmodel = dict(width=width)\n"
mine = folder / 'mine.py'
mine.write_text(text)
cfg = Config.fromfile(str(mine))
Runner(model=cfg.model, work_dir=str(folder), cfg=cfg, default_scope='mmengine',
       log_level=logging.CRITICAL)
after = mine.read_text()
print('the same text:', after == text, '| comment kept:', '# twice' in after,
      '| names its base:', '_base_' in after)
assert after != text and '# twice' not in after and '_base_' not in after
PY
