"""What every host must keep, over hosts x methods (both are listed in tiny_hosts).

The layers alone, over hosts x sites: tests/routing.
"""

import copy
import functools
import re

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from tiny_hosts import (
    EXIT_HEADS,
    LITERAL,
    METHODS,
    ForcedPolicy,
    build,
    build_host,
    build_upstream,
    host_config,
    make_batch,
    run_loss,
    total_loss,
    without_dropout,
)

# Keys we may have on top of an upstream checkpoint, by the option that brings them.
NEW_KEYS = dict(
    pattern_query=r'pattern_query_generator\..*',
    query_routing=r'decoder\.layers\.\d\.router\.projection\.(weight|bias)',
    exit_heads=r'exit_heads\..*',
)


def build_all_off(host: str, faster: bool) -> torch.nn.Module:
    """With mmdet's own losses, too: those in one go are not summed in its order."""
    attention = dict(cpu_attention='grid_sample', fused_attention=False)
    options = dict(batched_losses=False, **({} if faster else attention))
    return build(host_config(host, **options))


def assert_is_the_host(found, expected, faster, name, rounding=1e-5):
    """Bit for bit, or but for rounding where attention runs another way."""
    if not faster:
        assert torch.equal(found, expected), name
    else:
        error = (found - expected).abs().max()
        assert error <= rounding * expected.abs().max().clamp(min=1), name


@pytest.mark.parametrize('faster', [False, True])
def test_all_off_is_the_host(host, faster):
    ours, upstream = build_all_off(host, faster), build_upstream(host)
    mine, theirs = ours.state_dict(), upstream.state_dict()
    assert list(mine) == list(theirs)
    for key, value in theirs.items():
        assert torch.equal(mine[key], value), key

    if faster:  # whose dropout is drawn in another order
        without_dropout(ours), without_dropout(upstream)
    batch = make_batch([2, 3], [(64, 96), (48, 64)])
    losses, expected = run_loss(ours, batch), run_loss(upstream, batch)
    assert list(losses) == list(expected)
    for key, value in expected.items():
        assert_is_the_host(losses[key], value, faster, key)

    total_loss(losses).backward()
    total_loss(expected).backward()
    for (name, mine), theirs in zip(
        ours.named_parameters(), upstream.parameters(), strict=True
    ):
        assert (mine.grad is None) == (theirs.grad is None), name
        if theirs.grad is not None:
            assert_is_the_host(mine.grad, theirs.grad, faster, name)

    ours.eval(), upstream.eval()
    with torch.no_grad():
        outputs, expected = ours(**batch), upstream(**batch)
    for mine, theirs in zip(outputs, expected, strict=True):
        mine, theirs = torch.as_tensor(mine), torch.as_tensor(theirs)
        assert_is_the_host(mine, theirs, faster, 'outputs')


@pytest.mark.parametrize('faster', [False, True])
def test_all_off_is_the_host_in_half_precision_too(host, faster):
    batch = make_batch([2, 3])
    ours, upstream = build_all_off(host, faster), build_upstream(host)
    if faster:
        without_dropout(ours), without_dropout(upstream)
    with torch.autocast('cpu', torch.bfloat16):
        losses, expected = run_loss(ours, batch), run_loss(upstream, batch)
    for key, value in expected.items():
        assert value.dtype == losses[key].dtype, key
        assert_is_the_host(losses[key], value, faster, key, rounding=1e-2)


def test_upstream_checkpoint_loads_with_only_the_new_keys_missing(host, method):
    ours, upstream = build_host(host, method), build_upstream(host)
    result = ours.load_state_dict(upstream.state_dict(), strict=False)
    mine, theirs = ours.state_dict(), upstream.state_dict()
    options = [name for name in NEW_KEYS if name in METHODS[method]]
    if ours.exit_heads is not None:
        options.append('exit_heads')
    # Patterns replace an embedding of nothing but content, if the host has one.
    replaced = set()
    if ours.content_embedding and 'pattern_query' in options:
        replaced = {f'{ours.content_embedding}.weight'}
    assert set(result.unexpected_keys) == replaced
    new = set(mine) - set(theirs)
    for option in options:
        found = {key for key in new if re.fullmatch(NEW_KEYS[option], key)}
        assert found, option
        new -= found
        # Exit heads may be missing as a whole from a published checkpoint.
        assert option == 'exit_heads' or found <= set(result.missing_keys)
    assert not new
    for key, value in theirs.items():
        assert key in replaced or torch.equal(mine[key], value), key


def test_strict_round_trip_deepcopy_and_ema(host, method):
    ours = build_host(host, method)
    other = build_host(host, method)
    for parameter in other.parameters():
        parameter.data.fill_(7)
    total_loss(run_loss(ours, make_batch([2, 1]))).backward()
    clone = copy.deepcopy(ours)
    ema = ExponentialMovingAverage(ours)
    ema.update_parameters(ours)
    checkpoint = dict(state_dict=ours.state_dict())
    _load_checkpoint_to_model(other, checkpoint, strict=True)
    batch = make_batch([1, 2])
    with torch.no_grad():
        expected = ours.eval()(**batch)[0]
        for copied in (other, clone, ema.module):
            torch.testing.assert_close(copied.eval()(**batch)[0], expected)


@pytest.mark.parametrize('num_objects', [[0, 2], [0, 0]])
def test_every_parameter_gets_a_finite_gradient(host, method, num_objects):
    detector = build_host(host, method)
    losses = run_loss(detector, make_batch(num_objects))
    assert all(torch.isfinite(value).all() for value in losses.values())
    total_loss(losses).backward()
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_a_batch_of_two_equals_two_of_one(host, method):
    detector = build_host(host, method).eval()
    batch = make_batch([2, 3])
    with torch.no_grad():
        together = detector(**batch)
        for i in range(2):
            alone = detector(*(part[i : i + 1] for part in batch.values()))
            for both, one in zip(together[:2], alone[:2], strict=True):
                torch.testing.assert_close(both[:, i], one[:, 0], rtol=1e-4, atol=1e-5)


def observe(detector, batch) -> tuple:
    """Losses but those of exit heads, their gradients, and what it predicts."""
    losses = run_loss(detector, batch)
    losses = {k: v for k, v in losses.items() if not k.startswith('exit.')}
    total_loss(losses).backward()
    grads = {name: p.grad for name, p in detector.named_parameters()}
    with torch.no_grad():
        outputs = detector.eval()(**batch)
    return losses, grads, [torch.as_tensor(output) for output in outputs]


@functools.cache
def without_routing(host: str, method: str) -> tuple:
    """Weights of a detector that does not route, and what it does."""
    plain = without_dropout(build_host(host, method))
    weights = copy.deepcopy(plain.state_dict())
    return weights, observe(plain, make_batch([2, 3], [(64, 96), (48, 64)]))


@pytest.mark.parametrize(
    ('executor', 'gradient', 'others'),
    [
        ('dense', 'exit_head', {}),
        ('dense', 'straight_through', {}),
        ('gather', 'exit_head', {}),
        ('dense', 'exit_head', LITERAL),
    ],
    ids=lambda value: value if isinstance(value, str) else ', '.join(value),
)
@pytest.mark.parametrize('method', ['none', 'paq'])
def test_if_all_enter_it_is_the_host(host, method, executor, gradient, others):
    """The paper's schedule, so each site once; the same up to rounding."""
    weights, expected = without_routing(host, method)
    routing = dict(executor=executor, gradient=gradient, router=dict(init='enter'))
    routing = EXIT_HEADS | others | routing
    config = host_config(host, **METHODS[method], query_routing=routing)
    routed = without_dropout(build(config))
    routed.load_state_dict(weights, strict=False)
    found = observe(routed, make_batch([2, 3], [(64, 96), (48, 64)]))
    assert list(found[0]) == list(expected[0])
    for mine, theirs in (
        *((found[0][key], value) for key, value in expected[0].items()),
        *zip(found[2], expected[2], strict=True),
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    for name, grad in expected[1].items():
        if grad is not None:
            # Summed in another order where the decision adds a node to the graph.
            error = (found[1][name] - grad).abs().max()
            assert error <= 1e-4 * grad.abs().max().clamp(min=1e-3), name


@pytest.mark.parametrize('method', ['qr', 'qr_literal', 'qrpaq'])
@pytest.mark.parametrize('shares', [(0, 1), (1, 0.5)], ids=str)
def test_whatever_the_router_says_an_image_is_its_own(host, method, shares):
    """Also if no query of it enters, and all of its neighbour do."""
    detector = build_host(host, method).eval()
    detector.change_routing(policy=ForcedPolicy(*shares))
    batch = make_batch([2, 3])
    with torch.no_grad():
        together = detector(**batch)
        for i in range(2):
            detector.change_routing(policy=ForcedPolicy(shares[i]))
            alone = detector(*(part[i : i + 1] for part in batch.values()))
            for both, one in zip(together[:2], alone[:2], strict=True):
                torch.testing.assert_close(both[:, i], one[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('objects', [[2, 3], [0, 0]])
@pytest.mark.parametrize('method', ['none', 'paq', 'qr', 'qr_literal', 'qrpaq'])
def test_autocast_trains(host, method, objects):
    detector = build_host(host, method)
    with torch.autocast('cpu', torch.bfloat16):
        losses = run_loss(detector, make_batch(objects))
    assert all(torch.isfinite(value).all() for value in losses.values())
    total_loss(losses).backward()


def test_predictions_have_the_upstream_form(host, method):
    detector = build_host(host, method).eval()
    batch = make_batch([2, 0])
    with torch.no_grad():
        predictions = detector(**batch, mode='predict')
    for sample in predictions:
        found = sample.pred_instances
        assert len(found) == 10 and (found.scores.diff() <= 0).all()
        assert (found.bboxes[:, 2:] >= found.bboxes[:, :2]).all()
