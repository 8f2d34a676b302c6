"""Layers that are run again in the backward pass: the same numbers from less memory."""

import copy

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import METHODS, build, host_config, make_batch, run_loss, total_loss

BOTH = ['encoder', 'decoder']
HYBRID = dict(num_queries=7, num_repeats=2)
CASES = [
    ('dino', METHODS['none']),
    ('dino', METHODS['qr']),  # straight through
    ('dino', METHODS['qr_literal']),  # exit heads, gathered, boxes kept
    ('dino', METHODS['paq'] | dict(hybrid_branch=HYBRID)),
    ('deformable', METHODS['qrpaq']),  # with dropout
    ('conditional', METHODS['qr_literal']),
]


def step(detector, batch) -> tuple[dict, dict]:
    losses = run_loss(detector, batch)
    total_loss(losses).backward()
    return losses, {n: p.grad for n, p in detector.named_parameters()}


def detectors(host: str, options: dict, parts: list[str] = BOTH) -> list:
    """Without checkpointing and with it, equal weights."""
    checkpointed = dict(options, activation_checkpointing=parts)
    return [build(host_config(host, **each)) for each in (options, checkpointed)]


@pytest.mark.parametrize(('host', 'options'), CASES)
def test_losses_and_gradients_are_the_same_bit_for_bit(host, options):
    batch = make_batch([2, 3], [(64, 96), (48, 64)])
    plain, checkpointed = detectors(host, options)
    assert list(plain.state_dict()) == list(checkpointed.state_dict())
    (losses, grads), (found, found_grads) = (
        step(plain, batch),
        step(checkpointed, batch),
    )
    assert losses.keys() == found.keys()
    for name, value in losses.items():
        assert torch.equal(found[name], value), name
    for name, grad in grads.items():
        same = found_grads[name] is None if grad is None else None
        assert same or torch.equal(found_grads[name], grad), name
    for layer in getattr(checkpointed, 'routed_layers', []):
        assert layer.trace is None, 'a graph left behind would break deepcopy'
    copy.deepcopy(checkpointed)


def kept_bytes(detector, batch) -> int:
    """What a forward pass keeps for the backward pass, beside the parameters."""
    own = {p.untyped_storage().data_ptr() for p in detector.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # Held, so that no other takes its place in memory.
            kept[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        run_loss(detector, batch)
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize(
    ('parts', 'share'), [(['encoder'], 0.9), (['decoder'], 0.75), (BOTH, 0.45)], ids=str
)
@pytest.mark.parametrize('method', ['none', 'qr'])
def test_less_is_kept_for_the_backward_pass(method, parts, share):
    batch = make_batch([2, 3])
    plain, checkpointed = detectors('dino', METHODS[method], parts)
    assert kept_bytes(checkpointed, batch) <= share * kept_bytes(plain, batch)


def test_layers_run_once_more_in_training_alone():
    detector = detectors('dino', METHODS['qr'])[1]
    batch, runs = make_batch([2, 3]), []
    for layer in [*detector.encoder.layers, *detector.decoder.layers]:
        layer.ffn.register_forward_hook(lambda *_: runs.append(1))
    with torch.no_grad():
        run_loss(detector, batch)
        detector.eval()(**batch)
    assert len(runs) == 8
    step(detector.train(), batch)
    assert len(runs) == 8 + 2 * 4


@pytest.mark.parametrize(
    'parts', ['encoder', ['neck'], ['encoder', 'encoders'], None, True]
)
def test_other_parts_are_refused(parts):
    with pytest.raises(
        ConfigError, match='activation_checkpointing is .*: give a list'
    ):
        build(host_config('dino', activation_checkpointing=parts))
