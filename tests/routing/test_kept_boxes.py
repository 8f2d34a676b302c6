"""Whose box moves: `bypassed_boxes='kept'` (QR-DETR Sec. 4, 'retained as they are')."""

import copy
import itertools
from unittest import mock

import pytest
import torch

from tiny_hosts import (
    NUM_QUERIES,
    ROUTING,
    ForcedPolicy,
    build,
    host_config,
    make_batch,
    run_loss,
)

# Hosts by what their box branches do.
REFINING = (
    'dino',
    'deformable_refine',
    'deformable_two_stage',
    'dab',
    'dab_deformable',
    'dn_deformable',
)
FIXED = ('deformable', 'conditional')


def routed(host: str, boxes: str, schedule, *shares: float, **others):
    routing = ROUTING | others | dict(bypassed_boxes=boxes, schedule=schedule)
    routing = routing | dict(policy=ForcedPolicy(*shares))
    detector = build(host_config(host, query_routing=routing)).eval()
    # Hosts start with branches that move nothing, and with equal ones.
    torch.manual_seed(3)
    for name, parameter in detector.bbox_head.named_parameters():
        if 'reg' in name:
            parameter.data.normal_(std=0.05)
    return detector


def boxes_of(detector, batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Boxes of all layers, and the references that the decoder hands to the head."""
    head, handed = detector.bbox_head, []

    def forward(hidden_states, references):
        logits, boxes = type(head).forward(head, hidden_states, references)
        handed.append((boxes, references))
        return logits, boxes

    with torch.no_grad(), mock.patch.object(head, 'forward', forward):
        detector(**batch, mode='tensor')
    return handed[0]


@pytest.mark.parametrize('site', ['layer', 'cross_attn'])
@pytest.mark.parametrize('refining', REFINING)
def test_who_bypasses_keeps_its_box_and_who_enters_moves(refining, site):
    detector = routed(refining, 'kept', [site], 0.5, 0.3)
    boxes, references = boxes_of(detector, make_batch([0, 0]))
    entered = torch.stack([layer.entered for layer in detector.routed_layers])
    assert entered.any() and not entered.all()
    for layer in range(3):
        before = boxes[layer - 1] if layer else references[0]
        if before.shape[-1] == 2:
            continue  # no box yet
        moved = (boxes[layer] - before).abs().amax(-1)
        bypassed = ~entered[layer]
        assert moved[bypassed].max() < 1e-5
        assert moved[entered[layer]].min() > 1e-4
        # The next layer starts from there.
        if layer < 2:
            torch.testing.assert_close(references[layer + 1], boxes[layer])


def test_self_attention_moves_nobody_so_everybody_is_refined():
    kept, refined = (
        routed('dab', boxes, ['self_attn'], 0.5, 0.5) for boxes in ('kept', 'refined')
    )
    batch = make_batch([0, 0])
    assert torch.equal(boxes_of(kept, batch)[0], boxes_of(refined, batch)[0])


@pytest.mark.parametrize('fixed', FIXED)
def test_fixed_references_leave_nothing_to_keep(fixed):
    """A query that bypasses a whole layer repeats its prediction by itself."""
    kept, refined = (
        routed(fixed, boxes, ['layer'], 0.5, 0.5) for boxes in ('kept', 'refined')
    )
    batch = make_batch([0, 0])
    boxes, _ = boxes_of(kept, batch)
    assert torch.equal(boxes, boxes_of(refined, batch)[0])
    bypassed = ~kept.routed_layers[1].entered
    torch.testing.assert_close(boxes[1][bypassed], boxes[0][bypassed])


def logit(box: torch.Tensor) -> torch.Tensor:
    return torch.log(box / (1 - box))


def in_turn(*shares: float):
    """A rule for a pass of one image: a share for each layer, in their order."""
    rules = itertools.cycle(map(ForcedPolicy, shares))
    return lambda scores: next(rules)(scores)


def test_dab_detr_takes_the_same_step_twice_unless_boxes_are_kept():
    """One branch for all layers reads the same query again: b + s becomes b + 2 s."""
    for boxes, times in (('refined', 1), ('kept', 0)):
        detector = routed('dab', boxes, ['layer'], 1.0)
        # All enter the first layer, nobody the second, all the third.
        detector.change_routing(policy=in_turn(1.0, 0.0, 1.0))
        found, references = boxes_of(detector, make_batch([0]))
        step = logit(found[0]) - logit(references[0])
        assert step.abs().mean() > 0.01
        torch.testing.assert_close(
            logit(found[1]), logit(found[0]) + times * step, rtol=1e-3, atol=1e-3
        )
        assert (logit(found[2]) - logit(found[1])).abs().mean() > 0.01


def test_prediction_ends_with_the_boxes_of_the_last_layer(host):
    """Heads of some hosts see the last layer only when they predict."""
    detector = routed(host, 'kept', ['layer'], 0.5, 0.3)
    batch = make_batch([0, 0])
    boxes, _ = boxes_of(detector, batch)
    with torch.no_grad():
        found = detector(**batch, mode='predict')
    height, width = batch['data_samples'][0].img_shape
    scale = torch.tensor([width, height, width, height])
    for image, sample in enumerate(found):
        centre, size = boxes[-1, image, :, :2], boxes[-1, image, :, 2:]
        corners = torch.cat((centre - size / 2, centre + size / 2), 1) * scale
        corners[:, 0::2].clamp_(0, width)
        corners[:, 1::2].clamp_(0, height)
        distance = torch.cdist(sample.pred_instances.bboxes, corners).amin(1)
        assert distance.max() < 1e-2


def test_a_second_decoding_knows_nothing_of_the_first():
    """Analyses decode again what was encoded once."""
    detector = routed('dab', 'kept', ['layer'], 0.5, 0.3)
    batch = make_batch([0, 0])
    first, _ = boxes_of(detector, batch)
    detector.change_routing(policy=ForcedPolicy(0.1, 0.9))
    boxes_of(detector, batch)
    detector.change_routing(policy=ForcedPolicy(0.5, 0.3))
    assert torch.equal(boxes_of(detector, batch)[0], first)


def test_boxes_of_a_copy_are_its_own():
    detector = routed('dab', 'kept', ['layer'], 0.5, 0.3)
    batch = make_batch([0, 0])
    expected, _ = boxes_of(detector, batch)
    clone = copy.deepcopy(detector)
    detector.change_routing(policy=ForcedPolicy(0.0, 0.0))
    boxes_of(detector, batch)
    assert torch.equal(boxes_of(clone, batch)[0], expected)


@pytest.mark.parametrize('refining', ['dino', 'dn_deformable'])
def test_denoising_queries_are_refined(refining):
    detector = routed(refining, 'kept', ['layer'], 0.0, 0.0).train()
    seen = []
    detector.bbox_head.register_forward_hook(lambda *call: seen.append(call[1:]))
    run_loss(detector, make_batch([2, 1]))
    (_, references), (_, boxes) = seen[0]
    start = boxes.shape[2] - NUM_QUERIES
    moved = (boxes[0] - references[0]).abs().amax(-1)
    assert start > 0 and moved[:, :start].min() > 1e-4
    assert moved[:, start:].max() < 1e-5
