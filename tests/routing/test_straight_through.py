"""The other way to teach a router: the decision itself lets a gradient through."""

import pytest
import torch

from mmdet_qrpaq.routing.executors import keep_bypassed, run_dense
from tiny_hosts import ForcedPolicy


def test_straight_through_gradient_by_hand():
    """f(q) = 10 q + 7; the decision's gradient is that of p * (f(q) - q)."""
    query = torch.tensor([[[1.0], [2.0]]], requires_grad=True)
    probability = torch.tensor([[0.75, 0.25]], requires_grad=True)
    enter = torch.tensor([[True, False]])
    masks = []

    def run_slice(query, by_query, mask):
        masks.append(mask)
        return 10 * query + 7

    processed = run_dense(run_slice, query, {}, None, enter, 1)
    output = keep_bypassed(processed, query, enter, probability)
    assert output.tolist() == [[[17], [2]]]
    (output * torch.tensor([[[1.0], [3.0]]])).sum().backward()
    assert query.grad.tolist() == [[[10], [3]]], 'the hard decision itself'
    # 1 * (17 - 1) and 3 * (27 - 2): bypassed queries learn what they missed.
    assert probability.grad.tolist() == [[16, 75]]
    # Query 1 is no key for query 0; True and -inf both say so.
    assert masks[0][0, 0].bool().tolist() == [False, True]


@pytest.mark.parametrize('site', ['layer', 'self_attn', 'cross_attn'])
def test_straight_through_is_hard_routing_bit_for_bit(host, site, layer_call):
    call = layer_call(host)
    policy = ForcedPolicy(0.6, 0.3)
    hard = call.routed(site, policy=policy, executor='dense')
    soft = call.routed(site, policy=policy, gradient='straight_through')
    expected = hard.train()(call.query, **call.inputs)
    found = soft.train()(call.query, **call.inputs)
    assert torch.equal(found, expected)
    assert found.grad_fn is not None and expected.grad_fn is not None
    found.sum().backward(), expected.sum().backward()
    assert hard.router.projection.weight.grad is None
    assert soft.router.projection.weight.grad.abs().sum() > 0
    for (name, mine), theirs in zip(
        soft.named_parameters(), hard.parameters(), strict=True
    ):
        if not name.startswith('router.'):
            torch.testing.assert_close(mine.grad, theirs.grad, msg=name)
