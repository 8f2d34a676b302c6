"""The ReLU of a feed-forward network, out of place where gradients are kept."""

import copy

import torch
from mmcv.cnn.bricks.transformer import FFN
from torch.utils._python_dispatch import TorchDispatchMode

from mmdet_qrpaq.ops import mend_feedforward


class BytesCopied(TorchDispatchMode):
    """Adds up what is copied."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        if function.overloadpacket in (torch.ops.aten.copy_, torch.ops.aten.clone):
            self.total += made.numel() * made.element_size()
        return made


def run(network: FFN) -> tuple[list[torch.Tensor], int]:
    """Return output and gradients, and how many bytes were copied."""
    network.zero_grad()
    x = torch.linspace(-1, 1, 2 * 5 * 8).view(2, 5, 8).requires_grad_()
    with BytesCopied() as copied:
        output = network(x)
        output.square().sum().backward()
    return [output, x.grad, *(p.grad for p in network.parameters())], copied.total


def test_numbers_are_the_same_bit_for_bit_with_fewer_copies():
    torch.manual_seed(0)
    theirs = FFN(8, 64, act_cfg=dict(type='ReLU', inplace=True))
    ours = copy.deepcopy(theirs)
    mend_feedforward(ours)
    (found, few), (expected, many) = run(ours), run(theirs)
    for mine, other in zip(found, expected, strict=True):
        assert torch.equal(mine, other)
    # Hidden features of 2 x 5 x 64 numbers: their gradient alone was copied twice.
    assert many - few >= 2 * (2 * 5 * 64 * 4)


def test_without_gradients_it_stays_in_place():
    network = FFN(8, 64, act_cfg=dict(type='ReLU', inplace=True))
    mend_feedforward(network)
    hidden = torch.randn(2, 5, 64)
    with torch.no_grad():
        assert network.layers[0][1](hidden) is hidden
    assert (hidden >= 0).all()
