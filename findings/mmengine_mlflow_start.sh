#!/usr/bin/env bash
# mmengine 0.10.7, MLflowVisBackend with its defaults, with mlflow-skinny 3.17.2.
#
# Expected: the log goes into files in the run's folder, as the backend is documented.
# Seen: a training ends at its start with an MlflowException, as MLflow's files are "in
# maintenance mode". `tracking_uri` must name a database or a server, or the environment
# variable MLFLOW_ALLOW_FILE_STORE be true: then files are written.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5 mmengine==0.10.7 \
    mlflow-skinny==3.17.2 'setuptools<80'
cd "$work"
unset MLFLOW_TRACKING_URI MLFLOW_ALLOW_FILE_STORE
"$python" -W ignore - <<'PY' 2>&1 | grep -v -e ' - mmengine - ' -e ' INFO mlflow'
import logging
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner


@MODELS.register_module()
class Model(BaseModel):
    def forward(self, *inputs, **others):
        return {}


def start(folder):
    cfg = Config(dict(
        model=dict(type='Model'), work_dir=folder, default_scope='mmengine',
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='MLflowVisBackend')]),
        log_level=logging.CRITICAL, experiment_name=folder))
    try:
        Runner.from_cfg(cfg).visualizer.close()
        said = 'none'
    except Exception as error:
        said = f'{type(error).__name__}: {error}'
    written = any(Path(folder).rglob('meta.yaml'))
    print(f'{folder}: log written: {written}, error: {said[:70]}')
    return said, written


said, written = start('default')
assert said.startswith('MlflowException') and 'maintenance mode' in said and not written
os.environ['MLFLOW_ALLOW_FILE_STORE'] = 'true'
assert start('allowed') == ('none', True)
PY
