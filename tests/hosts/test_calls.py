"""Calls of a training step and a prediction, and which of them wait for the device.

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

from mmdet_qrpaq.ops import fused_attention, set_cpu_attention
from tiny_hosts import (
    METHODS,
    ROUTING,
    build,
    build_host,
    build_upstream,
    host_config,
    make_batch,
    total_loss,
)

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


@contextmanager
def counted_as_on_a_gpu(monkeypatch):
    """Counts the calls of a block, as they would be made on a GPU."""
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
        patch.setattr(fused_attention, 'unseen_keys', lambda mask: 0)  # on a CPU alone
        with Calls(count), Methods(count):
            yield count


def one_step(detector, batch: dict, monkeypatch) -> Count:
    """Count the calls of a training step without the optimizer's."""
    set_cpu_attention(detector, 'grid_sample')  # a GPU knows no other than mmcv's
    with counted_as_on_a_gpu(monkeypatch) as count:
        total_loss(detector(**batch, mode='loss')).backward()
    return count


def one_prediction(detector, batch: dict, monkeypatch) -> Count:
    """Count the calls of a prediction."""
    set_cpu_attention(detector.eval(), 'grid_sample')
    with torch.no_grad(), counted_as_on_a_gpu(monkeypatch) as count:
        detector(**batch, mode='predict')
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


# Of upstream DINO's calls, those of a training step and of a prediction.
BARS = dict(
    none=(0.65, 1.0),
    p=(0.7, 1.15),
    q=(0.75, 1.0),
    paq=(0.8, 1.15),
    qr=(0.65, 1.05),
    qrpaq=(0.8, 1.15),
)
QRPAQ = METHODS['paq'] | dict(query_routing=ROUTING)


def build_method(method: str):
    """A detector that routes as one on a GPU does by itself."""
    if method == 'qrpaq':  # as the leaves have it, whose router learns without heads
        detector = build(host_config('dino', **QRPAQ))
    else:
        detector = build_host('dino', method)
    if detector.routed_layers:
        detector.change_routing(executor='dense')
    return detector


@pytest.mark.parametrize('objects', [[7, 7], [30, 2]], ids=str)
@pytest.mark.parametrize('method', BARS)
def test_a_step_waits_less_and_calls_less_than_upstreams(method, objects, monkeypatch):
    batch = make_batch(objects)
    upstream = one_step(build_upstream('dino'), batch, monkeypatch)
    ours = one_step(build_method(method), batch, monkeypatch)
    assert ours.waits.total() <= upstream.waits.total() / 3
    assert ours.calls.total() <= BARS[method][0] * upstream.calls.total()


@pytest.mark.parametrize('method', BARS)
def test_a_prediction_waits_no_more_than_upstreams(method, monkeypatch):
    batch = make_batch([7, 7])
    upstream = one_prediction(build_upstream('dino'), batch, monkeypatch)
    ours = one_prediction(build_method(method), batch, monkeypatch)
    assert ours.waits.total() <= upstream.waits.total()
    assert ours.calls.total() <= BARS[method][1] * upstream.calls.total()


def test_gathering_waits_once_a_layer_and_not_at_all_with_a_capacity(monkeypatch):
    batch = make_batch([7, 7])
    detector = build_method('qr')
    dense = one_prediction(detector, batch, monkeypatch).waits.total()
    detector.change_routing(executor='gather')
    gather = one_prediction(detector, batch, monkeypatch).waits.total()
    detector.change_routing(capacity=0.5)
    with_capacity = one_prediction(detector, batch, monkeypatch).waits.total()
    assert gather == dense + len(detector.routed_layers)
    assert with_capacity == dense
