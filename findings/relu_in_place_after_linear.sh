#!/usr/bin/env bash
# torch 2.13.0, nn.ReLU(inplace=True) after nn.Linear, as in the feed-forward networks of
# DETRs and of most transformers.
#
# Expected: in place saves memory and time, and the backward pass is the same.
# Seen: of an input (batch, tokens, channels) a linear layer returns a view of a matrix, and
# autograd takes a change of a view for a change of its base. The graph has CopySlices and
# AsStridedBackward0 in place of ReluBackward0: the backward pass fills, clones and copies
# the gradient of all hidden features, 5.00 times their size; 0.00 out of place. The
# gradients are the same, bit for bit. An input (tokens, channels) has no view, no copies.
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
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class Copies(TorchDispatchMode):
    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        if function.overloadpacket in (aten.copy_, aten.clone, aten.new_zeros):
            self.numbers += made.numel()
        return made


def step(inplace, *shape):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 64), nn.ReLU(inplace=inplace), nn.Linear(64, 8))
    x = torch.randn(*shape, 8).requires_grad_()
    hidden = network[1](network[0](x))
    loss = network[2](hidden).square().sum()
    with Copies() as copies:
        loss.backward()
    kind = type(hidden.grad_fn).__name__
    grads = [x.grad, *(p.grad for p in network.parameters())]
    return kind, copies.numbers / hidden.numel(), grads


seen = {}
for shape in ((2, 50), (100,)):
    for inplace in (True, False):
        kind, copied, grads = step(inplace, *shape)
        seen[len(shape), inplace] = kind, copied, grads
        print(f'{len(shape) + 1} dimensions, in place {inplace}: {kind}, '
              f'{copied:.2f} times the hidden features copied or filled')
assert seen[2, True][0] == 'AsStridedBackward0', seen[2, True][0]
assert seen[2, False][0] == seen[1, True][0] == 'ReluBackward0'
assert seen[2, True][1] >= 3 and seen[2, False][1] == seen[1, True][1] == 0
for first, second in zip(seen[2, True][2], seen[2, False][2]):
    assert torch.equal(first, second)
PY
