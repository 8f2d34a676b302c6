"""Both executors against a plain loop, on the layers of every host."""

import pytest
import torch

from mmdet_qrpaq.routing.executors import run_gathered
from reference.routing import gated_sublayers, routed_layer
from tiny_hosts import (
    NUM_QUERIES,
    ForcedPolicy,
    build_host,
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
# Share of entering queries in the two images of a batch.
SHARES = dict(
    some=(0.6, 0.3),
    none=(0, 0),
    all=(1, 1),
    none_and_all=(0, 1),
    all_and_some=(1, 0.5),
)


def differentiable(call) -> tuple[torch.Tensor, dict]:
    """The call's tensors, as leaves that collect gradients."""

    def leaf(value):
        if torch.is_tensor(value) and value.is_floating_point():
            return value.clone().requires_grad_()
        return value

    return leaf(call.query), {name: leaf(v) for name, v in call.inputs.items()}


def gradients(run, layer, query, inputs) -> dict[str, torch.Tensor]:
    """Output, and its gradients to all parameters and inputs, by name."""
    output = run(query, inputs)
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(output.shape, generator=draw, dtype=output.dtype)
    leaves = dict(layer.named_parameters()) | {'query': query}
    leaves |= {
        f'inputs.{name}': value
        for name, value in inputs.items()
        if torch.is_tensor(value) and value.requires_grad
    }
    if not output.requires_grad:
        return dict(output=output)
    found = torch.autograd.grad(
        (output * weight).sum(), list(leaves.values()), allow_unused=True
    )
    filled = {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    }
    return dict(filled, output=output)


def assert_same(found: dict, expected: dict) -> None:
    """Equal but for rounding in double precision."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name] - value).abs().max()
        assert error <= 1e-9 * value.abs().max().clamp(min=1), (name, float(error))


def forced(call, shares) -> torch.Tensor:
    """(bs, nq) bool, what `ForcedPolicy` is going to say."""
    return ForcedPolicy(*shares)(torch.zeros(len(call.query), NUM_QUERIES, 2)).enter


@pytest.mark.parametrize(
    ('ffn_scope', 'shares'),
    [('routed', name) for name in SHARES]
    + [('all', name) for name in ('some', 'none_and_all')],
)
@pytest.mark.parametrize('site', SITES)
def test_executors_give_what_the_loop_gives(host, site, ffn_scope, shares, layer_call):
    call, shares = layer_call(host), SHARES[shares]
    policy = ForcedPolicy(*shares)
    results = {}
    for name, config in EXECUTORS.items():
        layer = call.routed(site, ffn_scope=ffn_scope, policy=policy, **config)
        results[name] = gradients(
            lambda query, inputs, layer=layer: layer(query, **inputs),
            layer,
            *differentiable(call),
        )
    expected = gradients(
        lambda query, inputs: routed_layer(
            layer,
            query,
            inputs,
            site=site,
            ffn_scope=ffn_scope,
            enter=forced(call, shares),
            num_denoising=call.num_denoising,
        ),
        layer,
        *differentiable(call),
    )
    for found in results.values():
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
        enter=forced(call, shares),
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
    decision = ForcedPolicy(*shares)(torch.zeros(2, NUM_QUERIES, 2))
    enter = torch.zeros_like(decision.enter)
    for image in range(2):
        wanting = decision.enter[image].nonzero().flatten().tolist()
        wanting.sort(key=lambda i: -decision.margin[image, i])
        enter[image, wanting[:slots]] = True
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
        if executor == 'gather':
            for name in gated_sublayers(site, 'routed'):
                assert seen[name] == call.num_denoising + slots


def widths(layer) -> dict[str, int]:
    """Fills, as the layer runs, with the number of queries each sub-layer gets."""
    seen = {}
    for name in ('self_attn', 'cross_attn', 'ffn'):

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
        longest = int(forced(call, shares).sum(1).max()) + call.num_denoising
        gated = gated_sublayers(site, ffn_scope)
        for name in ('self_attn', 'cross_attn', 'ffn'):
            everyone = call.query.shape[1]
            expected = max(longest, 1) if name in gated else everyone
            assert seen[name] == expected, (name, shares)


@pytest.mark.parametrize(
    ('ffn_scope', 'shares'), [('routed', 'some'), ('all', 'none_and_all')]
)
def test_executors_train_a_whole_detector_alike(host, ffn_scope, shares):
    """Losses and gradients, exit heads included; DINO with denoising queries."""
    batch = make_batch([1, 2], [(64, 96), (48, 64)])
    detector = without_dropout(build_host(host, 'qr_exit'))
    settings = detector.routed_layers[0].settings
    settings.ffn_scope = ffn_scope
    settings.policy = ForcedPolicy(*SHARES[shares])
    results = []
    for config in EXECUTORS.values():
        for name, value in (dict(capacity=None) | config).items():
            setattr(settings, name, value)
        detector.zero_grad()
        losses = run_loss(detector, batch)
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
