"""Calls of one training step, and those of them that wait for the device.

Counted on the CPU as on a GPU, for which the number of calls is what a small step takes
long for: the deformable attention is one call there, mmcv's kernel, and what torch and
SciPy ask of a tensor is a copy.
"""

from collections import Counter
from contextlib import contextmanager

import mmcv.ops.multi_scale_deform_attn as deformable
import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmdet_qrpaq.ops import set_cpu_attention
from tiny_hosts import build_host, build_upstream, make_batch, total_loss

# Its result's size or value must be known on the host.
WAITING_CALLS = {'aten::_local_scalar_dense', 'aten::nonzero', 'aten::_unique2'}
WAITING_METHODS = {'cpu', 'tolist', 'numpy'}
INDEXING = {'aten::index', 'aten::index_put', 'aten::index_put_'}


class Count:
    """Counts calls of a block, `calls` and `waits`, while it is not paused."""

    def __init__(self) -> None:
        self.calls, self.waits, self.paused = Counter(), Counter(), False

    @contextmanager
    def pause(self):
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before


class Calls(TorchDispatchMode):
    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not self.count.paused:
            name = func._schema.name
            self.count.calls[name] += 1
            # A mask in place of indices has to be counted first.
            masks = name in INDEXING and any(
                index is not None and index.dtype == torch.bool for index in args[1]
            )
            self.count.waits[name] += name in WAITING_CALLS or masks
        return func(*args, **(kwargs or {}))


class Methods(TorchFunctionMode):
    """Sees what has no call of its own where the device is the host."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, '__name__', '')
        of_tensor = getattr(torch.Tensor, name, None) is func
        of_host = name == 'numpy'  # after `cpu`, which is counted
        if of_tensor and name in WAITING_METHODS and not (self.count.paused or of_host):
            self.count.waits[name] += 1
        return func(*args, **(kwargs or {}))


def one_step(detector, batch: dict, monkeypatch) -> Count:
    """Count the calls of a training step without the optimizer's."""
    set_cpu_attention(detector, 'grid_sample')  # a GPU knows no other than mmcv's
    count = Count()
    fallback, one_hot = deformable.multi_scale_deformable_attn_pytorch, F.one_hot

    class Kernel(torch.autograd.Function):
        """mmcv's fallback, as the single call that it stands for."""

        @staticmethod
        def forward(ctx, value, shapes, *inputs):
            ctx.save_for_backward(value, shapes, *inputs)
            with count.pause():
                return fallback(value, shapes, *inputs)

        @staticmethod
        def backward(ctx, grad):
            value, shapes, *inputs = ctx.saved_tensors
            with count.pause(), torch.enable_grad():
                inputs = [x.detach().requires_grad_() for x in (value, *inputs)]
                output = fallback(inputs[0], shapes, *inputs[1:])
                grads = torch.autograd.grad(output, inputs, grad)
            return grads[0], None, *grads[1:]

    def without_check(*args, **kwargs):  # that labels fit, which it skips on a GPU
        with count.pause():
            return one_hot(*args, **kwargs)

    torch.manual_seed(1)
    with monkeypatch.context() as patch:
        patch.setattr(deformable, 'multi_scale_deformable_attn_pytorch', Kernel.apply)
        patch.setattr(F, 'one_hot', without_check)
        with Calls(count), Methods(count):
            total_loss(detector(**batch, mode='loss')).backward()
    return count


def test_calls_are_told_from_those_that_wait():
    count = Count()
    with Calls(count), Methods(count):
        x = torch.arange(3) + 1
        x.cpu().numpy()
        x[x > 1]
        if x.sum() > 2:
            x.nonzero()
        with count.pause():
            x.max().item()
    assert +count.waits == Counter(
        {'cpu': 1, 'aten::index': 1, 'aten::_local_scalar_dense': 1, 'aten::nonzero': 1}
    )
    assert count.calls['aten::max'] == 0 and count.calls['aten::arange'] == 1


@pytest.mark.parametrize('objects', [[7, 7], [30, 2]], ids=str)
def test_a_step_of_paq_dino_waits_less_and_calls_less_than_dino(objects, monkeypatch):
    batch = make_batch(objects)
    upstream = one_step(build_upstream('dino'), batch, monkeypatch)
    plain = one_step(build_host('dino'), batch, monkeypatch)
    paq = one_step(build_host('dino', 'paq'), batch, monkeypatch)
    assert plain.waits.total() <= upstream.waits.total() / 3
    assert paq.waits.total() <= upstream.waits.total() / 3
    assert plain.calls.total() <= 0.65 * upstream.calls.total()
    assert paq.calls.total() <= 0.8 * upstream.calls.total()
