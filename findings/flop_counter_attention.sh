#!/usr/bin/env bash
# torch 2.13.0, torch.utils.flop_counter.FlopCounterMode on the CPU: attention.
#
# Expected: nn.MultiheadAttention costs the same in train() and eval(), with and without
# gradients, with and without `need_weights`: the matrix products are the same.
# Seen (100 tokens of 64 channels: 2.92 MMACs of products, projections 1.64 of them):
# eval() under no_grad counts 0, since torch takes a fused kernel without a formula; the
# same for a whole nn.TransformerEncoderLayer. Otherwise need_weights=False counts the
# projections only: the formulas know the attention kernels of GPUs, not the CPU's. So the
# usual way to count a detector leaves its attention out, without a word.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q torch==2.13.0 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

TOKENS, CHANNELS = 100, 64
PROJECTIONS = 4 * TOKENS * CHANNELS**2
PRODUCTS = 2 * TOKENS**2 * CHANNELS
tokens = torch.randn(1, TOKENS, CHANNELS)


def macs(run, gradients):
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


attention = nn.MultiheadAttention(CHANNELS, 4, batch_first=True)
seen = {}
for training in (True, False):
    attention.train(training)
    for gradients in (True, False):
        for weights in (True, False):
            seen[training, gradients, weights] = macs(
                lambda: attention(tokens, tokens, tokens, need_weights=weights), gradients)
            print('train()' if training else 'eval() ', 'gradients', gradients,
                  'need_weights', weights, seen[training, gradients, weights])
for (training, gradients, weights), counted in seen.items():
    if not training and not gradients:
        assert counted == 0, counted
    else:
        assert counted == PROJECTIONS + PRODUCTS * weights, counted
layer = nn.TransformerEncoderLayer(CHANNELS, 4, 128, batch_first=True).eval()
counted = {gradients: macs(lambda: layer(tokens), gradients) for gradients in (True, False)}
print('encoder layer, eval(), by gradients:', counted)
assert counted == {True: PROJECTIONS + 2 * TOKENS * CHANNELS * 128, False: 0}
PY
