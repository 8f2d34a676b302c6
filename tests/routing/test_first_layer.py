"""What the first layer's router can choose by."""

import torch

from tiny_hosts import (
    BENEFIT,
    build,
    host_config,
    make_batch,
    run_loss,
    without_dropout,
)

# Queries and positions are learned, so the same in every image.
BLIND = {'conditional', 'dab', 'deformable', 'deformable_refine'}


def test_it_is_blind_to_the_image_where_queries_are_learned(host):
    routing = dict(BENEFIT, at_least=1.0)
    detector = without_dropout(build(host_config(host, query_routing=routing)))
    traces = []
    detector.exit_losses = lambda found, *_: traces.extend(found) or {}
    torch.manual_seed(0)
    for layer in detector.routed_layers:
        torch.nn.init.normal_(layer.router.projection.weight, std=0.1)
    run_loss(detector, make_batch([2, 3]))
    same = [torch.equal(*trace.scores) for trace in traces]
    assert same[0] == (host in BLIND)
    assert not any(same[1:]), 'behind a cross-attention all have seen the image'
