"""Matches of all layers and images at once against mmdet's assigner, one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import FocalLossCost, HungarianAssigner
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData

from mmdet_qrpaq.matching import Matches, pad_ground_truth
from mmdet_qrpaq.matching.costs import are_known, matching_costs
from mmdet_qrpaq.matching.hungarian import ask_image_by_image, solve, solve_on_device

# With eight queries or a multiple, whole blocks of the numbers that a CPU takes at
# once: what is left of them torch rounds in another way, and mmdet breaks ties by that.
NUM_CLASSES = 8
NUM_LAYERS = 3
SHAPES = [(64, 96), (50, 333), (427, 640), (480, 31)]
# As in the configs of mmdet's DETRs, and what else these costs can be set to.
COSTS = dict(
    focal=[
        dict(type='FocalLossCost', weight=2.0),
        dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='IoUCost', iou_mode='giou', weight=2.0),
    ],
    softmax=[
        dict(type='ClassificationCost', weight=1.0),
        dict(type='BBoxL1Cost', weight=5.0),
        dict(type='IoUCost', iou_mode='iou', weight=2.0),
    ],
    other=[
        dict(type='IoUCost', iou_mode='giou', weight=0.3),
        dict(type='FocalLossCost', alpha=0.6, gamma=1.5, eps=1e-8, weight=3),
    ],
    class_alone=dict(type='FocalLossCost'),
)


def random_problem(objects, nq, seed=0, on_grid=False, dtype=torch.float32):
    """Logits, boxes and objects; on a grid, where many costs are the same."""
    draw = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        values = torch.rand(*shape, generator=draw)
        return (values * 3).round() / 3 if on_grid else values

    bs = len(objects)
    logits = 4 * numbers(NUM_LAYERS, bs, nq, NUM_CLASSES) - 2
    boxes = 0.2 + 0.5 * numbers(NUM_LAYERS, bs, nq, 4)
    shapes = [SHAPES[0]] * bs if on_grid else SHAPES[:bs]
    gts = []
    for number, (height, width) in zip(objects, shapes, strict=True):
        corners = bbox_cxcywh_to_xyxy(0.2 + 0.5 * numbers(number, 4))
        gts.append(
            InstanceData(
                bboxes=corners * torch.tensor([width, height] * 2),
                labels=torch.randint(NUM_CLASSES, (number,), generator=draw),
            )
        )
    metas = [dict(img_shape=shape) for shape in shapes]
    return logits.to(dtype), boxes.to(dtype), gts, metas


def one_by_one(assigner, logits, boxes, gts, metas, supervised=None):
    """Says for each query which object it has, as mmdet's heads ask for it."""
    assigned = torch.full(boxes.shape[:3], -1)
    for layer in range(len(boxes)):
        for image, meta in enumerate(metas):
            height, width = meta['img_shape']
            rows = slice(None) if supervised is None else supervised[layer, image]
            scale = boxes.new_tensor([width, height, width, height])
            corners = bbox_cxcywh_to_xyxy(boxes[layer, image, rows]) * scale
            found = assigner.assign(
                InstanceData(scores=logits[layer, image, rows], bboxes=corners),
                gts[image],
                meta,
            )
            assigned[layer, image, rows] = found.gt_inds - 1
    return assigned


def at_once(assigner, logits, boxes, gts, metas, supervised=None):
    truth = pad_ground_truth(gts, metas)
    costs = matching_costs(assigner.match_costs, logits, boxes, truth)
    return solve(costs, truth, supervised).assigned(
        boxes.shape[:3], truth.labels.shape[1]
    )


@pytest.mark.parametrize('costs', COSTS)
@settings(max_examples=60)
@given(
    objects=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    eights=st.integers(1, 6),
    seed=st.integers(0, 2**32),
    on_grid=st.booleans(),
)
def test_the_matches_are_those_of_mmdet(costs, objects, eights, seed, on_grid):
    """Ties are broken alike, and more objects than queries are no exception."""
    assigner = HungarianAssigner(COSTS[costs])
    assert are_known(assigner)
    problem = random_problem(objects, 8 * eights, seed, on_grid)
    assert torch.equal(at_once(assigner, *problem), one_by_one(assigner, *problem))


@pytest.mark.parametrize('costs', COSTS)
def test_costs_are_those_of_mmdet_bit_for_bit(costs):
    logits, boxes, gts, metas = random_problem([4, 0, 7, 1], 24)
    match_costs = HungarianAssigner(COSTS[costs]).match_costs
    found = matching_costs(match_costs, logits, boxes, pad_ground_truth(gts, metas))
    for image, (objects, meta) in enumerate(zip(gts, metas, strict=True)):
        height, width = meta['img_shape']
        for layer in range(NUM_LAYERS):
            corners = bbox_cxcywh_to_xyxy(boxes[layer, image])
            predicted = InstanceData(
                scores=logits[layer, image],
                bboxes=corners * torch.tensor([width, height] * 2),
            )
            expected = [cost(predicted, objects, meta) for cost in match_costs]
            expected = torch.stack(expected).sum(0).T
            assert torch.equal(found[layer, image, : len(objects)], expected)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('costs', ['focal', 'softmax', 'other'])
def test_the_matches_are_those_of_mmdet_in_half_precision(costs, dtype):
    """Half precision is full of ties; each number must be rounded as mmdet rounds."""
    assigner = HungarianAssigner(COSTS[costs])
    problem = random_problem([5, 0, 12, 3], 40, dtype=dtype)
    with torch.autocast('cpu', dtype):
        expected = one_by_one(assigner, *problem)
        assert torch.equal(at_once(assigner, *problem), expected)


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
@pytest.mark.parametrize('whole', [False, True])
def test_what_cannot_be_matched_stops_both(value, whole):
    """NaN anywhere; infinite logits are a class for sure, and all of one image too."""
    assigner = HungarianAssigner(COSTS['focal'])
    logits, *others = random_problem([3, 2], 8)
    logits[1, 0, slice(None) if whole else 0] = value

    def outcome(match):
        try:
            return match(assigner, logits, *others).tolist()
        except ValueError as error:
            return str(error)

    expected = outcome(one_by_one)
    assert outcome(at_once) == expected
    if value is torch.nan:
        assert 'invalid numeric entries' in expected


def test_an_image_without_objects_may_predict_nan():
    """Nobody asks for its costs."""
    assigner = HungarianAssigner(COSTS['focal'])
    logits, boxes, *objects = random_problem([0, 2], 8)
    boxes[:, 0] = torch.nan
    problem = (logits, boxes, *objects)
    assert torch.equal(at_once(assigner, *problem), one_by_one(assigner, *problem))


@pytest.mark.parametrize('share', [0.0, 0.2, 0.9])
def test_queries_that_are_no_prediction_are_passed_over(share):
    """Also where fewer of them are left than there are objects."""
    assigner = HungarianAssigner(COSTS['focal'])
    problem = random_problem([5, 0, 12, 3], 20)
    draw = torch.Generator().manual_seed(0)
    supervised = torch.rand(NUM_LAYERS, 4, 20, generator=draw) < share
    expected = one_by_one(assigner, *problem, supervised)
    expected[~supervised] = -1
    assert torch.equal(at_once(assigner, *problem, supervised), expected)
    truth = pad_ground_truth(*problem[2:])
    matches = ask_image_by_image(assigner, *problem[:2], truth, supervised)
    assigned = matches.assigned(supervised.shape, truth.labels.shape[1])
    assert torch.equal(assigned, expected)


class MyCost(FocalLossCost):
    """Might do anything."""


class MyAssigner(HungarianAssigner):
    """Might do anything, too."""


def test_other_assigners_and_costs_are_not_taken_for_known():
    known = HungarianAssigner(COSTS['focal'])
    assert are_known(known)
    assert not are_known(MyAssigner(COSTS['focal']))
    assert not are_known(HungarianAssigner(dict(type='DiceCost')))
    # Of the prediction's area: mmdet's roles are the other way round.
    assert not are_known(HungarianAssigner(dict(type='IoUCost', iou_mode='iof')))
    assert not are_known(HungarianAssigner(dict(type='FocalLossCost', binary_input=1)))
    known.match_costs[0] = MyCost()
    assert not are_known(known)


def test_pairs_and_assignments_tell_the_same():
    assigned = torch.tensor([[[-1, 1, 0], [2, -1, -1]], [[0, -1, -1], [-1, 0, 1]]])
    matches = Matches.of_assigned(assigned, 3)
    assert matches.query.tolist() == [1, 2, 3, 6, 10, 11]
    assert matches.object.tolist() == [1, 0, 5, 0, 3, 4]
    assert torch.equal(matches.assigned(assigned.shape, 3), assigned)


@settings(max_examples=60)
@given(
    objects=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    eights=st.integers(1, 6),
    seed=st.integers(0, 2**32),
    on_grid=st.booleans(),
)
def test_the_kernels_padding_moves_nobody(objects, eights, seed, on_grid):
    """The solver for CUDA, on the CPU, where it asks SciPy about padded problems."""
    pytest.importorskip('torch_linear_assignment')
    logits, boxes, gts, metas = random_problem(objects, 8 * eights, seed, on_grid)
    truth = pad_ground_truth(gts, metas)
    match_costs = HungarianAssigner(COSTS['focal']).match_costs
    costs = matching_costs(match_costs, logits, boxes, truth)
    shape, num_objects = boxes.shape[:3], truth.labels.shape[1]
    found = solve_on_device(costs.flatten(0, 1), truth).assigned(shape, num_objects)
    assert torch.equal(found, solve(costs, truth).assigned(shape, num_objects))
