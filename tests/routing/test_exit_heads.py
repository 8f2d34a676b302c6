"""Exit heads: the router's gradient under a hard decision (QR-DETR Sec. 4.1)."""

import copy
import math
import re

import pytest
import torch

from leaves import build as build_leaf
from leaves import structure_only
from mmdet_qrpaq.routing import RoutingTrace
from mmdet_qrpaq.routing.detector_mixin import without_denoising
from mmdet_qrpaq.routing.exit_heads import ExitHeads, winning_score
from tiny_hosts import (
    EXIT_HEADS,
    NUM_QUERIES,
    build,
    build_host,
    host_config,
    make_batch,
    run_loss,
    total_loss,
    without_dropout,
)

NUM_LAYERS = 3


def exit_part(losses: dict) -> dict:
    return {key: value for key, value in losses.items() if key.startswith('exit.')}


def host_part(losses: dict) -> dict:
    return {key: value for key, value in losses.items() if not key.startswith('exit.')}


def gradients(losses: dict, parameters) -> list[torch.Tensor | None]:
    return torch.autograd.grad(
        total_loss(losses), list(parameters), retain_graph=True, allow_unused=True
    )


def routers(detector) -> list[torch.Tensor]:
    return [layer.router.projection.weight for layer in detector.routed_layers]


def test_winning_score_by_hand():
    scores = torch.tensor([[[0.0, math.log(3)], [-1.0, -2.0], [4.0, 4.0]]])
    expected = [[0.75], [1 / (1 + math.e)], [1 / (1 + math.exp(-4))]]
    torch.testing.assert_close(winning_score(scores)[0], torch.tensor(expected))


def test_they_alone_teach_the_routers(host):
    detector = build_host(host, 'qr_exit')
    losses = run_loss(detector, make_batch([2, 3]))
    for grad in gradients(exit_part(losses), routers(detector)):
        assert grad.abs().max() > 0
    # The decision is hard: through it, the host's losses teach nothing.
    assert gradients(host_part(losses), routers(detector)) == (None,) * NUM_LAYERS

    detector.exit_heads = None
    losses = run_loss(detector, make_batch([2, 3]))
    assert not exit_part(losses)
    assert gradients(losses, routers(detector)) == (None,) * NUM_LAYERS


def test_straight_through_needs_none(host):
    detector = build_host(host, 'qr')
    assert detector.exit_heads is None
    losses = run_loss(detector, make_batch([2, 3]))
    assert not exit_part(losses)
    for grad in gradients(losses, routers(detector)):
        assert grad.abs().max() > 0


def test_their_parameters_are_their_own_and_of_the_decoder_alone(host):
    detector = build_host(host, 'qr_exit')
    host_head = {p.data_ptr() for p in detector.bbox_head.parameters()}
    mine = {p.data_ptr() for p in detector.exit_heads.parameters()}
    assert mine and not mine & host_head
    assert not any('exit_heads' in name for name in detector.decoder.state_dict())
    for_the_encoder = getattr(detector, 'as_two_stage', False)
    assert len(detector.exit_heads.heads) == NUM_LAYERS
    for name, branches in detector.bbox_head.named_children():
        if isinstance(branches, torch.nn.ModuleList):
            assert len(branches) == NUM_LAYERS + for_the_encoder
            for head in detector.exit_heads.heads:
                assert len(getattr(head, name)) == 1


def test_each_layer_has_its_own(host):
    """Also where the host has one head, or one list of the same branch, for all."""
    heads = build_host(host, 'qr_exit').exit_heads.heads
    shapes = [[tuple(p.shape) for p in head.parameters()] for head in heads]
    assert shapes == shapes[:1] * NUM_LAYERS
    different = {p.data_ptr() for p in heads.parameters()}
    assert len(different) == NUM_LAYERS * len(shapes[0])


@pytest.mark.parametrize('name', ['deformable', 'conditional', 'dab'])
def test_six_heads_are_the_million_of_table_2(name):
    """45M -> 46M: 919,032 parameters with 80 classes; one for all would be 153,172."""
    with structure_only():
        head = build_leaf(f'qr_{name}_detr_r50_12e_literal').bbox_head
        heads = ExitHeads(head, 6, 256, 'scaled_query')
    assert sum(p.numel() for p in heads.parameters()) == 919_032
    assert 919_032 == 6 * 153_172


def test_they_start_as_the_hosts(host):
    detector = build_host(host, 'qr_exit')
    theirs = detector.bbox_head.state_dict()
    for layer, head in enumerate(detector.exit_heads.heads):
        for key, value in head.state_dict().items():
            key = key.replace('branches.0.', f'branches.{layer}.')
            assert torch.equal(value, theirs[key]), key


def test_they_move_neither_the_hosts_head_nor_its_references(host):
    detector = build_host(host, 'qr_exit')
    losses = exit_part(run_loss(detector, make_batch([2, 3])))
    for grad in gradients(losses, detector.bbox_head.parameters()):
        assert grad is None or not grad.any()
    for grad in gradients(losses, detector.exit_heads.parameters()):
        assert grad is not None


def test_losses_are_the_hungarian_ones_of_each_layer(host):
    for method in ('qr_exit', 'qrpaq'):
        detector = build_host(host, method)
        losses = exit_part(run_loss(detector, make_batch([2, 3])))
        names = ('loss_cls', 'loss_bbox', 'loss_iou')
        layers = ('', *(f'd{i}.' for i in range(NUM_LAYERS - 1)))
        assert set(losses) == {f'exit.{layer}{n}' for layer in layers for n in names}


@pytest.mark.parametrize(
    'deformable',
    [
        'deformable',
        'deformable_refine',
        'deformable_two_stage',
        'dab_deformable',
        'dn_deformable',
    ],
)
def test_with_the_hosts_weights_and_a_full_score_they_lose_what_the_host_loses(
    deformable,
):
    """Only where the host has no norm between its decoder and its head."""
    routing = EXIT_HEADS | dict(schedule=['layer'], router=dict(init='enter'))
    detector = without_dropout(build(host_config(deformable, query_routing=routing)))
    for layer in detector.routed_layers:
        layer.router.projection.bias.data[0] = 50  # sigma_EE is 1
    detector.exit_heads.start_as(detector.bbox_head)
    losses = run_loss(detector, make_batch([2, 3], [(64, 96), (48, 64)]))
    for name, value in exit_part(losses).items():
        torch.testing.assert_close(value, losses[name.removeprefix('exit.')])


def traces(requires_grad: bool = False) -> list[RoutingTrace]:
    draw = torch.Generator().manual_seed(2)
    return [
        RoutingTrace(
            torch.randn(2, NUM_QUERIES, 2, generator=draw).requires_grad_(
                requires_grad
            ),
            torch.ones(2, NUM_QUERIES, dtype=torch.bool),
            *torch.randn(2, 2, NUM_QUERIES, 256, generator=draw),
        )
        for _ in range(NUM_LAYERS)
    ]


@pytest.fixture
def heads_of():
    head = build_host('deformable').bbox_head
    references = torch.rand(
        NUM_LAYERS, 2, NUM_QUERIES, 2, generator=torch.Generator().manual_seed(1)
    )

    def make(exit_input):
        torch.manual_seed(0)
        heads = ExitHeads(head, NUM_LAYERS, 256, exit_input)
        return heads, lambda found: heads(heads.scored_queries(found), references)

    return make


def test_scaled_queries_against_a_loop(heads_of):
    heads, predict = heads_of('scaled_query')
    found, given = traces(), []
    for head in heads.heads:
        head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    predict(found)
    for layer, trace in enumerate(found):
        for image in range(2):
            for i in range(NUM_QUERIES):
                share = max(torch.sigmoid(s) for s in trace.scores[image, i])
                expected = share * trace.after[image, i]
                torch.testing.assert_close(given[layer][0, image, i], expected)


def test_scores_alone_is_the_literal_reading(heads_of):
    heads, predict = heads_of('scores')
    assert [p.weight.shape for p in heads.score_projections] == [(256, 2)] * NUM_LAYERS
    found = traces(requires_grad=True)
    logits, boxes = predict(found)
    other = [trace._replace(after=trace.after * 7) for trace in found]
    for mine, theirs in zip(predict(other), (logits, boxes), strict=True):
        assert torch.equal(mine, theirs), 'what the slice made of a query is not seen'
    # Layer by layer: the scores of one give no gradient to the predictions of another.
    for layer in range(NUM_LAYERS):
        grads = torch.autograd.grad(
            logits[layer].sum(), [t.scores for t in found], retain_graph=True
        )
        assert [bool(grad.any()) for grad in grads] == [
            other == layer for other in range(NUM_LAYERS)
        ]


@pytest.mark.parametrize('exit_input', ['scaled_query', 'scores'])
def test_both_readings_train(exit_input):
    routing = EXIT_HEADS | dict(exit_input=exit_input)
    detector = build(host_config('conditional', query_routing=routing))
    total_loss(run_loss(detector, make_batch([2, 3]))).backward()
    for parameter in (*routers(detector), *detector.exit_heads.parameters()):
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
    assert all(weight.grad.any() for weight in routers(detector))


def norm_of(losses: dict, detector: torch.nn.Module, names: str) -> float:
    """Norm of the gradient that losses send into parameters, by a pattern of names."""
    grads = gradients(
        losses,
        [
            parameter
            for name, parameter in detector.named_parameters()
            if parameter.requires_grad and re.match(names, name)
        ],
    )
    return sum(g.square().sum().item() for g in grads if g is not None) ** 0.5


@pytest.mark.parametrize('exit_input', ['scaled_query', 'scores'])
@pytest.mark.parametrize('teaches', ['all', 'router'])
def test_what_they_teach(host, teaches, exit_input):
    """'Targeted training of this layer' (Sec. 4.1), or whatever lies before it."""
    routing = EXIT_HEADS | dict(exit_input=exit_input, exit_teaches=teaches)
    detector = build(host_config(host, query_routing=routing))
    losses = exit_part(run_loss(detector, make_batch([2, 3])))
    for layer in range(NUM_LAYERS):
        assert norm_of(losses, detector, rf'decoder\.layers\.{layer}\.router') > 0
        assert norm_of(losses, detector, rf'exit_heads\.heads\.{layer}\.') > 0
    router = r'decoder\.layers\.\d\.router'
    for part in ('backbone', 'encoder', f'(?!{router})decoder'):
        assert (norm_of(losses, detector, part) > 0) == (teaches == 'all'), part
    if teaches == 'router':
        assert norm_of(losses, detector, f'(?!{router}|exit_heads)') == 0


def test_whom_they_teach_changes_no_loss():
    """Of a step: the numbers are the same, only their gradients end elsewhere."""
    batch, found = make_batch([2, 3]), []
    for teaches in ('all', 'router'):
        routing = EXIT_HEADS | dict(exit_teaches=teaches)
        found.append(run_loss(build(host_config('dino', query_routing=routing)), batch))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][key], value) for key, value in found[1].items())


def test_nothing_of_them_is_used_or_left_after_training(host):
    detector = build_host(host, 'qr_exit')
    run_loss(detector, make_batch([1, 2]))
    assert '_exit_predictions' not in vars(detector)
    detector.eval()
    batch = make_batch([1, 2])
    with torch.no_grad():
        expected = detector(**batch)
    assert '_exit_predictions' not in vars(detector)
    for parameter in detector.exit_heads.parameters():
        torch.nn.init.constant_(parameter, math.nan)
    with torch.no_grad():
        for mine, theirs in zip(detector(**batch), expected, strict=True):
            assert torch.equal(torch.as_tensor(mine), torch.as_tensor(theirs))


@pytest.mark.parametrize('host', ['conditional', 'dab'])
def test_raw_outputs_in_training_leave_no_graph_behind(host):
    """The other hosts have none: their heads stop at what only losses want."""
    detector = build_host(host, 'qr_exit')
    detector(**make_batch([1, 2]), mode='tensor')
    assert '_exit_predictions' not in vars(detector)
    copy.deepcopy(detector)


def test_a_failed_iteration_leaves_no_graph_behind(host):
    detector = build_host(host, 'qr_exit')
    detector.bbox_head.loss = lambda **_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run_loss(detector, make_batch([1, 2]))
    del detector.bbox_head.loss
    copy.deepcopy(detector)


def test_references_lose_denoising_queries_and_their_gradient():
    whole = torch.rand(2, 5, 4, requires_grad=True)
    (kept,) = without_denoising([whole], 2)
    assert torch.equal(kept, whole[:, 2:]) and not kept.requires_grad
    stacked = torch.rand(3, 2, 5, 4, requires_grad=True)
    kept = without_denoising(stacked, 0)
    assert torch.equal(kept, stacked) and not kept.requires_grad
