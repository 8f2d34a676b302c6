"""Both executors against a plain loop, on the layers of every host."""

import copy
import functools

import pytest
import torch

from mmdet_qrpaq.routing.executors import run_gathered
from reference.gradients import assert_same, differentiable, gradients
from reference.routing import ORDER, gated_sublayers, routed_layer
from tiny_hosts import (
    EXIT_HEADS,
    NUM_QUERIES,
    ForcedPolicy,
    build,
    host_config,
    make_batch,
    run_loss,
    total_loss,
    without_dropout,
)

SITES = ('layer', 'self_attn', 'cross_attn')
SCOPES = ('routed', 'all')
EXECUTORS = dict(
    dense=dict(executor='dense'),
    gather=dict(executor='gather'),
    capacity=dict(executor='gather', capacity=NUM_QUERIES),
)
# Share of entering queries in the two images of a batch: 8 and 4 of the 12 are some.
SHARES = dict(
    some=(0.6, 0.3),
    alike=(0.6, 0.6),
    none=(0, 0),
    all=(1, 1),
    none_and_all=(0, 1),
    all_and_some=(1, 0.5),
)


def forced(shares, capacity=NUM_QUERIES) -> torch.Tensor:
    """(bs, nq) bool, what `ForcedPolicy` is going to say; the best that have room."""
    decision = ForcedPolicy(*shares)(torch.zeros(2, NUM_QUERIES, 2))
    enter = torch.zeros_like(decision.enter)
    for image in range(2):
        wanting = decision.enter[image].nonzero().flatten().tolist()
        wanting.sort(key=lambda i: -decision.margin[image, i])
        enter[image, wanting[:capacity]] = True
    return enter


def alike(capacity, longest) -> list[dict]:
    """Settings with the same result: all queries run, those that enter, fixed slots."""
    dense, gather = dict(executor='dense'), dict(executor='gather')
    if capacity is not None:
        return [settings | dict(capacity=capacity) for settings in (dense, gather)]
    return [dense, gather, gather | dict(capacity=min(longest + 1, NUM_QUERIES))]


def assert_rows(seen: dict, layer, longest: int) -> None:
    """Only as many queries as are needed reached each sub-layer."""
    everyone = rows = layer.num_denoising + NUM_QUERIES
    if not layer.settings.runs_dense(torch.device('cpu')):
        rows = layer.num_denoising + (layer.settings.slots or longest)
        rows = max(rows, 1)
    gated = gated_sublayers(layer.site, layer.settings.ffn_scope)
    assert seen == {name: rows if name in gated else everyone for name in ORDER}


@pytest.mark.parametrize(
    ('ffn_scope', 'shares', 'capacity'),
    [('routed', name, None) for name in SHARES]
    + [('all', name, None) for name in ('some', 'none_and_all')]
    # Too short for one image, and more than the other needs.
    + [('routed', 'some', 6), ('all', 'some', 6), ('routed', 'all_and_some', 6)],
)
@pytest.mark.parametrize('site', SITES)
def test_executors_give_what_the_loop_gives(
    host, site, ffn_scope, shares, capacity, layer_call
):
    call, shares = layer_call(host), SHARES[shares]
    enter = forced(shares, capacity)
    longest = int(enter.sum(1).max())
    results = []
    for config in alike(capacity, longest):
        layer = call.routed(
            site, ffn_scope=ffn_scope, policy=ForcedPolicy(*shares), **config
        )
        seen = widths(layer)
        found = gradients(
            lambda query, inputs, layer=layer: layer(query, **inputs),
            layer,
            *differentiable(call.query, call.inputs),
        )
        assert_rows(seen, layer, longest)
        results.append(found)
    expected = gradients(
        lambda query, inputs: routed_layer(
            layer,
            query,
            inputs,
            site=site,
            ffn_scope=ffn_scope,
            enter=enter,
            num_denoising=call.num_denoising,
        ),
        layer,
        *differentiable(call.query, call.inputs),
    )
    for found in results:
        assert_same(found, expected)


@pytest.mark.parametrize('executor', EXECUTORS)
@pytest.mark.parametrize('site', SITES)
def test_the_router_decides_as_the_loop_does(host, site, executor, layer_call):
    for index in range(3):  # content is zero at the first layer of some hosts
        call = layer_call(host, index)
        layer = call.routed(
            site, policy=dict(type='ThresholdPolicy'), **EXECUTORS[executor]
        )
        # Shifted to the middle of this layer's scores, so that the queries differ.
        with torch.no_grad():
            layer(call.query, **call.inputs)
            scores = layer.take_trace().scores
            margins = (scores[..., 0] - scores[..., 1]).flatten().sort().values
            middle = margins[NUM_QUERIES - 1 : NUM_QUERIES + 1].mean()
            layer.router.projection.bias[0] -= middle
            found = layer(call.query, **call.inputs)
        enter = layer.take_trace().enter
        assert enter.any() and not enter.all()
        expected = routed_layer(
            layer,
            call.query,
            call.inputs,
            site=site,
            ffn_scope='routed',
            num_denoising=call.num_denoising,
        )
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('ffn_scope', SCOPES)
@pytest.mark.parametrize('site', SITES)
def test_concat_puts_the_entering_queries_first(host, site, ffn_scope, layer_call):
    call, shares = layer_call(host), SHARES['some']
    expected = routed_layer(
        call.layer,
        call.query,
        call.inputs,
        site=site,
        ffn_scope=ffn_scope,
        enter=forced(shares),
        num_denoising=call.num_denoising,
        concat=True,
    )
    for config in EXECUTORS.values():
        layer = call.routed(
            site,
            ffn_scope=ffn_scope,
            policy=ForcedPolicy(*shares),
            regroup='concat',
            **config,
        )
        found = layer(call.query, **call.inputs)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('capacity', [1, 4, 0.5])
@pytest.mark.parametrize('site', SITES)
def test_capacity_keeps_the_best_and_fixes_the_shapes(host, site, capacity, layer_call):
    call, shares = layer_call(host), SHARES['all_and_some']
    slots = NUM_QUERIES // 2 if capacity == 0.5 else capacity
    enter = forced(shares, slots)
    expected = routed_layer(
        call.layer,
        call.query,
        call.inputs,
        site=site,
        ffn_scope='routed',
        enter=enter,
        num_denoising=call.num_denoising,
    )
    for executor in ('dense', 'gather'):
        layer = call.routed(
            site, policy=ForcedPolicy(*shares), executor=executor, capacity=capacity
        )
        seen = widths(layer)
        found = layer(call.query, **call.inputs)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
        assert torch.equal(layer.take_trace().enter, enter)
        assert_rows(seen, layer, slots)


def widths(layer) -> dict[str, int]:
    """Fills, as the layer runs, with the number of queries each sub-layer gets."""
    seen = {}
    for name in ORDER:

        def note(module, arguments, inputs, name=name):
            seen[name] = (arguments or (inputs['query'],))[0].shape[1]

        getattr(layer, name).register_forward_pre_hook(note, with_kwargs=True)
    return seen


@pytest.mark.parametrize('ffn_scope', SCOPES)
@pytest.mark.parametrize('site', SITES)
def test_gather_runs_no_more_than_the_longest_image_needs(
    host, site, ffn_scope, layer_call
):
    call = layer_call(host)
    for shares in SHARES.values():
        layer = call.routed(site, ffn_scope=ffn_scope, policy=ForcedPolicy(*shares))
        seen = widths(layer)
        layer(call.query, **call.inputs)
        assert_rows(seen, layer, int(forced(shares).sum(1).max()))


@functools.cache
def routed_detector(host: str, ffn_scope: str):
    routing = EXIT_HEADS | dict(ffn_scope=ffn_scope)
    return without_dropout(build(host_config(host, query_routing=routing)))


@pytest.mark.parametrize(
    ('ffn_scope', 'shares', 'capacity'),
    [
        ('routed', 'some', None),
        ('all', 'some', None),
        ('all', 'none_and_all', None),
        ('routed', 'some', 6),
    ],
)
def test_executors_train_a_whole_detector_alike(host, ffn_scope, shares, capacity):
    """Losses and gradients, exit heads included; DINO with denoising queries."""
    batch = make_batch([1, 2], [(64, 96), (48, 64)])
    detector = copy.deepcopy(routed_detector(host, ffn_scope))
    shares = SHARES[shares]
    detector.change_routing(policy=ForcedPolicy(*shares))
    longest = int(forced(shares, capacity).sum(1).max())
    seen = [widths(layer) for layer in detector.routed_layers]
    results = []
    for config in alike(capacity, longest):
        detector.change_routing(**dict(capacity=None) | config)
        detector.zero_grad()
        losses = run_loss(detector, batch)
        for rows, layer in zip(seen, detector.routed_layers, strict=True):
            assert_rows(rows, layer, longest)
        total_loss(losses).backward()
        grads = {
            name: parameter.grad.clone()
            for name, parameter in detector.named_parameters()
            if parameter.requires_grad
        }
        results.append((losses, grads))
    losses, grads = results[0]
    for other_losses, other_grads in results[1:]:
        for name, value in losses.items():
            torch.testing.assert_close(other_losses[name], value, rtol=1e-4, atol=1e-5)
        for name, value in grads.items():
            scale = value.abs().max().clamp(min=1e-4)
            error = (other_grads[name] - value).abs().max()
            assert error <= 2e-3 * scale, (name, float(error), float(scale))


def test_one_slot_is_kept_if_no_query_enters():
    weight = torch.tensor(3.0, requires_grad=True)
    query = torch.randn(2, 5, 4)
    output = run_gathered(
        lambda query, by_query, mask: query * weight,
        query,
        {},
        None,
        torch.zeros(2, 5, dtype=torch.bool),
        1,
    )
    assert torch.equal(output, query)
    output.sum().backward()
    assert weight.grad == 0, 'a gradient, of nothing: distributed training waits for it'
