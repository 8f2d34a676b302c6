"""Every method on every host on a GPU: as on the CPU, in mixed precision, routed."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from benchmarks.gpu_parts.precision import autocast, precise
from tiny_hosts import (
    ROUTING,
    build,
    build_host,
    host_config,
    make_batch,
    run_loss,
    total_loss,
    without_dropout,
)

OPTIMIZER = dict(
    constructor='MergedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4, fused=True),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)


def on(device: str, batch: dict) -> dict:
    """The same batch there."""
    samples = [sample.to(device) for sample in batch['data_samples']]
    return dict(inputs=batch['inputs'].to(device), data_samples=samples)


@pytest.fixture
def drawn_on_the_cpu(monkeypatch):
    """A GPU draws other numbers for the same seed; denoising queries need the same."""
    for name in ('rand_like', 'randint_like'):
        draw = getattr(torch, name)

        def there(like, *args, draw=draw, **kwargs):
            return draw(like.cpu(), *args, **kwargs).to(like.device)

        monkeypatch.setattr(torch, name, there)


def test_losses_and_gradients_are_those_of_the_cpu(
    host, method, device, drawn_on_the_cpu
):
    detector = without_dropout(build_host(host, method))
    there = copy.deepcopy(detector).to(device)
    batch = make_batch([2, 3], [(64, 96), (48, 64)])
    expected, found = run_loss(detector, batch), run_loss(there, on(device, batch))
    assert list(found) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(
            found[key].cpu(), value, rtol=1e-3, atol=1e-4, msg=lambda m, k=key: k + m
        )
    total_loss(expected).backward()
    total_loss(found).backward()
    for (name, mine), theirs in zip(
        detector.named_parameters(), there.parameters(), strict=True
    ):
        assert (mine.grad is None) == (theirs.grad is None), name
        if mine.grad is not None:
            gap = (mine.grad - theirs.grad.cpu()).norm()
            assert gap <= 1e-2 * mine.grad.norm() + 1e-4, name


@torch.no_grad()
def test_predictions_are_those_of_the_cpu(host, method, device):
    detector = build_host(host, method).eval()
    there = copy.deepcopy(detector).to(device)
    batch = make_batch([2, 3], [(64, 96), (48, 64)])
    expected = detector(**batch, mode='predict')
    found = there(**on(device, batch), mode='predict')
    for mine, theirs in zip(expected, found, strict=True):
        mine, theirs = mine.pred_instances, theirs.pred_instances.cpu()
        torch.testing.assert_close(theirs.scores, mine.scores, rtol=1e-3, atol=1e-5)
        # Where two scores are nearly equal, their order may be another.
        apart = (mine.scores.diff().abs() > 1e-5).all()
        if apart:
            assert torch.equal(theirs.labels, mine.labels)
            torch.testing.assert_close(theirs.bboxes, mine.bboxes, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
def test_a_step_of_training_is_finite(host, method, device, precision):
    """Loss scaling, clipping, merged groups and the fused step together."""
    settings = copy.deepcopy(OPTIMIZER)
    if device == 'cpu' and precision == 'fp16':
        pytest.skip('mmengine scales losses on a GPU alone')
    if device == 'cuda' and precision != 'fp32':
        settings.update(type='AmpOptimWrapper', loss_scale=dict(init_scale=64.0))
    detector = build_host(host, method).to(device)
    optim = build_optim_wrapper(detector, settings)
    before = [p.detach().clone() for p in detector.parameters()]
    with precise(precision):
        for _ in range(2):
            batch = on(device, make_batch([2, 3]))
            with autocast(precision, device):
                losses = run_loss(detector, batch)
            loss = total_loss(losses)
            assert loss.isfinite(), losses
            optim.update_params(loss)
    assert all(p.isfinite().all() for p in detector.parameters())
    moved = [
        not torch.equal(old, new)
        for old, new in zip(before, detector.parameters(), strict=True)
        if new.requires_grad
    ]
    assert sum(moved) > len(moved) / 2
    detector.eval()
    with torch.no_grad(), precise(precision), autocast(precision, device):
        for sample in detector(**batch, mode='predict'):
            assert sample.pred_instances.scores.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize('capacity', [None, 5])
def test_executors_agree(host, device, capacity):
    routed = dict(query_routing=dict(ROUTING, capacity=capacity))
    detector = build(host_config(host, **routed)).to(device).eval()
    batch = on(device, make_batch([2, 3], [(64, 96), (48, 64)]))
    outputs = []
    for executor in ('dense', 'gather'):
        detector.change_routing(executor=executor)
        outputs.append(detector(**batch))
    for dense, gathered in zip(*outputs, strict=True):
        dense, gathered = torch.as_tensor(dense), torch.as_tensor(gathered)
        torch.testing.assert_close(gathered, dense, rtol=1e-3, atol=1e-4)
