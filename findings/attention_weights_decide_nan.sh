#!/usr/bin/env bash
# torch 2.13.0, nn.MultiheadAttention on a CPU, a query that a mask lets see nothing.
#
# Expected: `need_weights` changes what is returned beside the output, not the output.
# Seen: with need_weights=True (the default) the query's output is NaN, and so are the
# gradients of all weights; with need_weights=False, which takes the fused kernel, the
# output is the bias of the last layer and all gradients are finite. Whoever reads the
# weights for a figure changes the training; whoever drops them hides a mask that is wrong.
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

torch.manual_seed(0)
attention = nn.MultiheadAttention(16, 4, batch_first=True)
nn.init.normal_(attention.out_proj.bias)
tokens = torch.randn(2, 6, 16)
mask = torch.zeros(6, 6, dtype=torch.bool)
mask[3] = True
seen = {}
for weights in (True, False):
    attention.zero_grad()
    output, _ = attention(tokens, tokens, tokens, attn_mask=mask, need_weights=weights)
    output.sum().backward()
    nan = sum(int(p.grad.isnan().sum()) for p in attention.parameters())
    seen[weights] = int(output[:, 3].isnan().sum()), nan, output[:, 3]
    print(f'need_weights={weights}: {seen[weights][0]} of 32 numbers of that query and '
          f'{nan} numbers of gradients are NaN')
assert seen[True][0] == 32 and seen[True][1] > 0
assert seen[False][:2] == (0, 0)
torch.testing.assert_close(seen[False][2], attention.out_proj.bias.expand(2, -1))
PY
