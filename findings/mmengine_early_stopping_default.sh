#!/usr/bin/env bash
# mmengine 0.10.7, EarlyStoppingHook with its defaults, and with `min_delta` as documented.
#
# Expected: by its documentation `min_delta` is 0.01 and `patience` 5: a training goes on
# as long as the AP rises by more than 0.01 in five validations.
# Seen: `min_delta` is 0.1, ten points of AP. A training whose AP rises by 0.015 at each of
# 12 validations, from 0.300 to 0.465, is stopped after the sixth, at 0.375: 'the monitored
# metric did not improve in the last 5 records'. With `min_delta=0.01` given it ends.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5 mmengine==0.10.7 'setuptools<80'
cd "$work"
"$python" -W ignore - <<'PY' 2>&1 | grep -v ' - mmengine - '
import logging

import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import EarlyStoppingHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, mode):
        found = self.layer(torch.stack(inputs))
        return {'loss': found.square().mean()} if mode == 'loss' else [{}] * len(inputs)


class RisingAP(BaseMetric):
    seen = 0

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        self.seen += 1
        return {'bbox_mAP': 0.285 + 0.015 * self.seen}


def last_ap(**settings):
    metric = RisingAP()
    images = dict(dataset=[dict(inputs=torch.ones(1))] * 2, batch_size=2, num_workers=0,
                  sampler=dict(type='DefaultSampler', shuffle=False),
                  collate_fn=dict(type='pseudo_collate'))
    runner = Runner(
        Model(), 'work', images, images, train_cfg=dict(by_epoch=True, max_epochs=12),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), val_cfg=dict(),
        val_evaluator=Evaluator(metric), default_scope='mmengine', log_level=logging.CRITICAL,
        default_hooks=dict(checkpoint=None), experiment_name=f'run{len(settings)}',
        custom_hooks=[dict(type='EarlyStoppingHook', monitor='bbox_mAP', **settings)])
    runner.train()
    return metric.seen, round(metric.compute_metrics([])['bbox_mAP'] - 0.015, 3)


words = ' '.join(EarlyStoppingHook.__doc__.split())
documented = 'to continue the training. Defaults to 0.01.' in words
default, given = last_ap(), last_ap(min_delta=0.01)
print('documented as 0.01:', documented, '| is', EarlyStoppingHook('bbox_mAP').min_delta)
print('validations and last AP by default:', *default, '| with min_delta=0.01:', *given)
assert documented and EarlyStoppingHook('bbox_mAP').min_delta == 0.1
assert default == (6, 0.375) and given == (12, 0.465)
PY
