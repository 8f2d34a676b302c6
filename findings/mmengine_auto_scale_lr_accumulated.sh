#!/usr/bin/env bash
# mmengine 0.10.7, `auto_scale_lr` of Runner beside `accumulative_counts` of the optimizer.
#
# Expected: the learning rate is scaled by the images of one optimizer step, as the linear
# rule says: two batches of 8 that are accumulated are a batch of 16.
# Seen: by the images of one batch alone, and the loss is divided by the batches
# accumulated. Of a rate of 0.1 for 16 images, steps of 16 images take 0.05 if they come as
# two batches of 8, and 0.1 if as one: the weight moves half as far. No word is said.
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
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs, mode):
        return {'loss': -(self.weight * torch.stack(inputs)).mean()}


def step(batch_size, accumulated):
    model = Model()
    images = dict(dataset=[dict(inputs=torch.ones(()))] * 16, batch_size=batch_size,
                  sampler=dict(type='DefaultSampler', shuffle=False), num_workers=0,
                  collate_fn=dict(type='pseudo_collate'))
    runner = Runner(
        model, 'work', images, train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1),
                           accumulative_counts=accumulated),
        auto_scale_lr=dict(enable=True, base_batch_size=16), default_scope='mmengine',
        default_hooks=dict(checkpoint=None), log_level=logging.CRITICAL,
        experiment_name=f'{batch_size}x{accumulated}')
    runner.train()
    return round(runner.optim_wrapper.get_lr()['lr'][0], 4), round(model.weight.item(), 4)


seen = {}
for batch_size, accumulated in ((16, 1), (8, 2), (4, 4)):
    seen[batch_size] = step(batch_size, accumulated)
    print(f'{accumulated} x {batch_size} images a step: rate {seen[batch_size][0]}, '
          f'the weight moved by {seen[batch_size][1]}')
assert seen == {16: (0.1, 0.1), 8: (0.05, 0.05), 4: (0.025, 0.025)}
PY
