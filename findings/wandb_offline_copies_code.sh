#!/usr/bin/env bash
# mmengine 0.10.7, WandbVisBackend with wandb 0.31.0 offline: what a training copies.
#
# Expected: offline all that is logged lies in the run's folder, and code is not copied
# unless it is asked for (`log_code_name`, `save_code`).
# Seen: at the start all .py files below the current folder, whether the training uses
# them or not, are copied, and not into the run's folder but into the user's data folder
# (~/.local/share/wandb/artifacts), where they stay: three runs, three copies. Where a
# training is started in a folder of projects, these are all of them, environments included.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5 mmengine==0.10.7 wandb==0.31.0 \
    'setuptools<80'
mkdir "$work/home" "$work/projects"
cd "$work/projects"
export HOME=$work/home
unset XDG_DATA_HOME XDG_CACHE_HOME XDG_CONFIG_HOME WANDB_DIR WANDB_DATA_DIR
"$python" -W ignore - <<'PY' 2>&1 | grep -v -e ' - mmengine - ' -e '^wandb: '
from pathlib import Path

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend

for name in ('mine/train.py', 'another/unrelated.py', 'third/.venv/lib/library.py'):
    Path(name).parent.mkdir(parents=True)
    Path(name).write_text(f'name = {name!r}\n')
Path('mine/notes.txt').write_text('no code\n')
names = {path.read_text() for path in Path().rglob('*.py')}


def copies(folder):
    texts = [path.read_text(errors='replace') for path in folder.rglob('*')
             if path.is_file() and path.stat().st_size < 100]
    return [text for text in texts if text in names]


home = Path.home()
for run in (1, 2, 3):
    folder = Path(f'../runs/{run}')
    backend = WandbVisBackend(str(folder), init_kwargs=dict(mode='offline'))
    backend.add_config(Config(dict(lr=0.1)))  # as the runner does at its start
    backend.close()
    inside, outside = len(copies(folder)), len(copies(home))
    print(f'after run {run}: copies in its folder {inside}, in the home folder {outside}')
    assert inside == 0 and outside == 3 * run
PY
