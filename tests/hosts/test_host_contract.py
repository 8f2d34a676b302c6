"""What every host must keep, over hosts x methods (a host is listed in conftest)."""

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from tiny_hosts import (
    METHODS,
    build_host,
    build_upstream,
    make_batch,
    run_loss,
    total_loss,
)

# Keys an upstream checkpoint may have on top of ours: embeddings that P replaces.
REPLACED_BY_PATTERNS = {'query_embedding.weight'}


def test_all_off_is_the_host_bit_for_bit(host):
    ours, upstream = build_host(host), build_upstream(host)
    assert list(ours.state_dict()) == list(upstream.state_dict())
    for key, value in upstream.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key

    batch = make_batch([2, 3], [(64, 96), (48, 64)])
    losses, expected = run_loss(ours, batch), run_loss(upstream, batch)
    assert list(losses) == list(expected)
    for key, value in expected.items():
        assert torch.equal(losses[key], value), key

    total_loss(losses).backward()
    total_loss(expected).backward()
    for (name, mine), theirs in zip(
        ours.named_parameters(), upstream.parameters(), strict=True
    ):
        assert (mine.grad is None) == (theirs.grad is None), name
        if theirs.grad is not None:
            assert torch.equal(mine.grad, theirs.grad), name

    ours.eval(), upstream.eval()
    with torch.no_grad():
        outputs, expected = ours(**batch), upstream(**batch)
    for mine, theirs in zip(outputs, expected, strict=True):
        assert torch.equal(torch.as_tensor(mine), torch.as_tensor(theirs))


def test_upstream_checkpoint_loads_with_only_the_new_keys_missing(host, method):
    ours, upstream = build_host(host, method), build_upstream(host)
    result = ours.load_state_dict(upstream.state_dict(), strict=False)
    with_patterns = 'pattern_query' in METHODS[method]
    assert set(result.unexpected_keys) == (
        REPLACED_BY_PATTERNS if with_patterns else set()
    )
    assert all(
        key.startswith('pattern_query_generator.') for key in result.missing_keys
    )
    assert bool(result.missing_keys) == with_patterns


def test_strict_round_trip_deepcopy_and_ema(host, method):
    ours = build_host(host, method)
    other = build_host(host, method)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter.data)
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


@pytest.mark.parametrize('num_objects', [[2, 3], [0, 2], [0, 0]])
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


def test_autocast_trains(host, method):
    detector = build_host(host, method)
    with torch.autocast('cpu', torch.bfloat16):
        losses = run_loss(detector, make_batch([2, 3]))
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
