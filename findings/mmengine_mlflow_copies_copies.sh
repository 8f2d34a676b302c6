#!/usr/bin/env bash
# mmengine 0.10.7, MLflowVisBackend in its default place, with mlflow-skinny 3.17.2 (which
# has to be allowed to write files): runs that follow one another in a work folder.
#
# Expected: each run adds its own config and logs to MLflow, some files a run.
# Seen: at its end each run copies all .py, .json, .log and .yaml files of the work folder
# to MLflow, whose files lie in that folder: the copies that earlier runs made are copied
# too, so the files more than double with each run. Of runs that do not even train, there
# are 10 files after the first, 30 after the second and 630 after the sixth.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5 mmengine==0.10.7 \
    mlflow-skinny==3.17.2 'setuptools<80'
cd "$work"
unset MLFLOW_TRACKING_URI
export MLFLOW_ALLOW_FILE_STORE=true
"$python" -W ignore - <<'PY' 2>&1 | grep -v -e ' - mmengine - ' -e ' INFO mlflow'
import logging
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner


@MODELS.register_module()
class Model(BaseModel):
    def forward(self, *inputs, **others):
        return {}


seen = []
for run in range(1, 7):
    cfg = Config(dict(
        model=dict(type='Model'), work_dir='work', default_scope='mmengine',
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='MLflowVisBackend')]),
        log_level=logging.CRITICAL, experiment_name=f'run{run}'))
    Runner.from_cfg(cfg).visualizer.close()
    seen.append(sum(p.suffix in ('.py', '.json', '.log', '.yaml')
                    for p in Path('work').rglob('*')))
    print(f'after run {run}: {seen[-1]} files')
    time.sleep(1.1)  # the folder of a run is named by the second
assert seen == [10, 30, 70, 150, 310, 630], seen
PY
