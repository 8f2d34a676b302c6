#!/usr/bin/env bash
# mmengine 0.10.7, Runner: how often the config is laid out as text.
#
# Expected: once, when it is written to the work folder; the text is kept and put into the
# log and the checkpoints.
# Seen: yapf formats the whole config anew each time its text is asked for: four times
# before the first step (log, work folder, visualizer's copy, run information), and again
# for every checkpoint file that is written: a run of three epochs with a checkpoint each
# formats 7 times. `save_best` adds one or two an epoch. A detector's config of 500 lines
# takes seconds each time: 3 s for mmdet's DINO on one busy core.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q mmengine==0.10.7 yapf==0.43.0 'setuptools<81' torch==2.13.0 \
    numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY' > log 2>&1 || { tail -20 log; exit 1; }
import torch
from torch.utils.data import Dataset

from mmengine.config import Config, config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.runner import Runner

calls = []
format_code = config.FormatCode
config.FormatCode = lambda *a, **k: calls.append(1) or format_code(*a, **k)


@DATASETS.register_module()
class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.ones(1)


@MODELS.register_module()
class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='loss'):
        return {'loss': self.line(torch.stack(inputs)).mean()}

    def train_step(self, data, optim_wrapper):
        loss = self(data)['loss']
        optim_wrapper.update_params(loss)
        return {'loss': loss}


@HOOKS.register_module()
class Count(Hook):
    seen = []

    def before_train_epoch(self, runner):
        self.seen.append(len(calls))


runner = Runner.from_cfg(Config({
    'model': {'type': 'Line'}, 'work_dir': 'out', 'experiment_name': 'count',
    'train_dataloader': {'dataset': {'type': 'Numbers'}, 'batch_size': 2, 'num_workers': 0,
                         'sampler': {'type': 'DefaultSampler', 'shuffle': False}},
    'train_cfg': {'by_epoch': True, 'max_epochs': 3},
    'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}},
    'default_hooks': {'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
    'visualizer': {'type': 'Visualizer', 'vis_backends': [{'type': 'LocalVisBackend'}]},
    'custom_hooks': [{'type': 'Count'}]}))
runner.train()
print('formatted before epochs 1, 2, 3 and in all:', Count.seen, len(calls))
assert Count.seen == [4, 5, 6] and len(calls) == 7, (Count.seen, len(calls))
PY
tail -1 log
