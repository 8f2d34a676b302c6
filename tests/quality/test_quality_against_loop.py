"""The batched assigner against the naive loop, and what holds for any batch."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_qrpaq.quality import QualityAwareAssigner, conflicts
from reference.quality_assignment import (
    assign_from_quality,
    assign_one_image,
    quality_table,
)
from reference.quality_batches import random_batch, unpadded


@st.composite
def batches(draw: st.DrawFn, *, on_grid: bool) -> tuple[tuple[Tensor, ...], dict]:
    objects = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    batch = random_batch(
        draw(st.integers(0, 2**32)),
        objects,
        draw(st.integers(1, 30)),
        on_grid=on_grid,
        nans=draw(st.sampled_from([0, 0, 1, 5, 60])),
    )
    options = dict(
        candidate_topk=draw(st.sampled_from([1, 4, 4, 9, 40])),
        min_positives=draw(st.sampled_from([1, 1, 2, 5])),
        confidence_weight=draw(st.sampled_from([0.0, 0.4, 1.0])),
        confidence=draw(st.sampled_from(['gt_class', 'max'])),
    )
    return batch, options


@settings(max_examples=150)
@given(batches(on_grid=False))
def test_equals_the_naive_loop(case):
    batch, options = case
    expected = [assign_one_image(*image, **options) for image in unpadded(batch)]
    assert QualityAwareAssigner(**options).assign_batch(*batch).tolist() == expected


@settings(max_examples=150)
@given(batches(on_grid=True))
def test_equals_the_naive_loop_where_ties_abound(case):
    batch, options = case
    assigner = QualityAwareAssigner(**options)
    quality = assigner.quality(*batch)
    owner = assigner.assign_batch(*batch)
    # Ties must be the same ties, so the loop ranks the assigner's own fp32 scores;
    # those are compared with the loop's scores first.
    rules = {key: options[key] for key in ('candidate_topk', 'min_positives')}
    weights = {key: options[key] for key in ('confidence_weight', 'confidence')}
    for index, image in enumerate(unpadded(batch)):
        table = quality[index][batch[-1][index]]
        expected = torch.tensor(quality_table(*image, **weights)).reshape_as(table)
        finite = expected.isfinite()
        torch.testing.assert_close(table[finite], expected[finite])
        # Whatever NaN became, it ranks below every real score.
        assert not (table[~finite] >= -weights['confidence_weight']).any()
        scores = table.masked_fill(~finite, math.nan).tolist()
        expected = assign_from_quality(scores, owner.shape[1], **rules)
        assert owner[index].tolist() == expected


@settings(max_examples=60)
@given(batches(on_grid=True))
def test_no_object_goes_without_unless_objects_outnumber_queries(case):
    batch, options = case
    owner = QualityAwareAssigner(**options).assign_batch(*batch)
    assert owner.dtype == torch.long
    for owned, valid in zip(owner, batch[-1], strict=True):
        served = owned[owned >= 0].unique()
        # A padded row owns nothing.
        assert valid[served].all()
        assert len(served) == min(valid.sum(), len(owned))


def test_objects_that_nothing_overlaps_are_served_in_one_round(monkeypatch):
    # All prefer the least confident predictions, in the same order.
    rounds = []
    bids = conflicts.bids

    def counted(*args):
        rounds.append(1)
        return bids(*args)

    monkeypatch.setattr(conflicts, 'bids', counted)
    boxes = torch.tensor([0.1, 0.1, 0.1, 0.1]).expand(1, 50, 4)
    gt_boxes = torch.tensor([0.8, 0.8, 0.1, 0.1]).expand(1, 40, 4)
    owner = QualityAwareAssigner().assign_batch(
        torch.linspace(0, 1, 50)[None, :, None],
        boxes,
        gt_boxes,
        torch.zeros(1, 40, dtype=torch.long),
        torch.ones(1, 40, dtype=torch.bool),
    )
    # The picked one is served before.
    assert len(rounds) == 1
    assert owner[0].tolist() == [*range(40), *[-1] * 10]


@settings(max_examples=60)
@given(batches(on_grid=True), st.randoms(use_true_random=False))
def test_images_do_not_see_each_other(case, random):
    batch, options = case
    assigner = QualityAwareAssigner(**options)
    owner = assigner.assign_batch(*batch)
    order = random.sample(range(len(owner)), len(owner))
    permuted = assigner.assign_batch(*(part[order] for part in batch))
    assert torch.equal(permuted, owner[order])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_rank_like_float32(dtype):
    # Grid values and 0.25 steps are exact in every type.
    probs, boxes, *targets = random_batch(3, [4, 7, 0], 20, on_grid=True)
    assigner = QualityAwareAssigner()
    expected = assigner.assign_batch(probs, boxes, *targets)
    targets[0] = targets[0].to(dtype)
    owner = assigner.assign_batch(probs.to(dtype), boxes.to(dtype), *targets)
    assert torch.equal(owner, expected)


@pytest.mark.parametrize('width', [0, 2], ids=['no rows', 'padding only'])
def test_without_ground_truth_everything_is_background(width):
    probs, boxes, gt, labels, valid = random_batch(0, [2, 2], 5, on_grid=False)
    owner = QualityAwareAssigner().assign_batch(
        probs, boxes, gt[:, :width], labels[:, :width], valid[:, :width] & False
    )
    assert owner.shape == (2, 5) and (owner == -1).all()


# -------------------------------------------------------------- one-image interface


def single(batch: tuple[Tensor, ...], size: tuple[int, int]):
    """The first image as mmdet hands it over: logits and (x1, y1, x2, y2) pixels."""
    probs, boxes, gt, labels, valid = (part[0] for part in batch)
    scale = torch.tensor([size[1], size[0]] * 2)

    def pixels(cxcywh: Tensor) -> Tensor:
        center, side = cxcywh[:, :2], cxcywh[:, 2:]
        return torch.cat([center - side / 2, center + side / 2], -1) * scale

    return (
        InstanceData(scores=probs.logit(), bboxes=pixels(boxes)),
        InstanceData(bboxes=pixels(gt)[valid], labels=labels[valid]),
        dict(img_shape=size),
    )


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('with_meta', [True, False])
def test_one_image_interface_equals_the_naive_loop(seed, with_meta):
    batch = random_batch(seed, [6], 20, on_grid=False)
    predictions, objects, meta = single(batch, (96, 160))
    result = QualityAwareAssigner().assign(
        predictions, objects, meta if with_meta else None
    )
    expected = assign_one_image(*next(iter(unpadded(batch))))
    # mmdet counts objects from 1; 0 is background.
    assert (result.gt_inds - 1).tolist() == expected
    assert result.num_gts == 6
    labels = [-1 if j < 0 else int(objects.labels[j]) for j in expected]
    assert result.labels.tolist() == labels


def test_one_image_interface_without_ground_truth():
    predictions, _, meta = single(random_batch(1, [2], 7, on_grid=False), (64, 64))
    nothing = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    result = QualityAwareAssigner().assign(predictions, nothing, meta)
    assert result.num_gts == 0
    assert result.gt_inds.tolist() == [0] * 7
