"""Eq. 6-7 of PaQ-DETR and the conflict rule, worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.quality import QualityAwareAssigner


def strip(start: float, end: float) -> list[float]:
    """A box over the whole height, so that IoU is that of two intervals."""
    return [(start + end) / 2, 0.5, end - start, 1.0]


def one_image(
    scores: list[float], boxes: list[list[float]], gt_boxes: list[list[float]]
) -> tuple[Tensor, ...]:
    """A batch of one image with one class and no padding."""
    objects = len(gt_boxes)
    return (
        torch.tensor(scores)[None, :, None],
        torch.tensor(boxes)[None],
        torch.tensor(gt_boxes).reshape(1, objects, 4),
        torch.zeros(1, objects, dtype=torch.long),
        torch.ones(1, objects, dtype=torch.bool),
    )


# ---------------------------------------------------------------- Eq. 6 by hand


def test_quality_is_iou_minus_weighted_probability_of_the_objects_class():
    # Object: x and y in [0.3, 0.7], area 0.16, class 1.
    #   q0 the same box:                     IoU 1,                 p(1) = 0.50
    #      s = 1.0 - 0.4 * 0.50 = 0.80
    #   q1 0.1 to the right: intersection 0.3 * 0.4 = 0.12,
    #      union 0.16 + 0.16 - 0.12 = 0.20,  IoU 0.6,               p(1) = 0.25
    #      s = 0.6 - 0.4 * 0.25 = 0.50
    #   q2 half the height: 0.08 / 0.16,     IoU 0.5,               p(1) = 0.75
    #      s = 0.5 - 0.4 * 0.75 = 0.20
    #   q3 far away:                         IoU 0,                 p(1) = 1.00
    #      s = 0.0 - 0.4 * 1.00 = -0.40
    probs = torch.tensor([[[0.9, 0.5], [0.9, 0.25], [0.1, 0.75], [0.0, 1.0]]])
    boxes = torch.tensor(
        [
            [
                [0.5, 0.5, 0.4, 0.4],
                [0.6, 0.5, 0.4, 0.4],
                [0.5, 0.5, 0.4, 0.2],
                [0.1, 0.1, 0.2, 0.2],
            ]
        ]
    )
    gt = torch.tensor([[[0.5, 0.5, 0.4, 0.4]]])
    targets = (gt, torch.tensor([[1]]), torch.tensor([[True]]))

    quality = QualityAwareAssigner().quality(probs, boxes, *targets)
    torch.testing.assert_close(quality, torch.tensor([[[0.8, 0.5, 0.2, -0.4]]]))

    # confidence='max' takes 0.9, 0.9, 0.75, 1.0 instead:
    #   1 - 0.36, 0.6 - 0.36, 0.5 - 0.30, 0 - 0.40
    quality = QualityAwareAssigner(confidence='max').quality(probs, boxes, *targets)
    torch.testing.assert_close(quality, torch.tensor([[[0.64, 0.24, 0.2, -0.4]]]))

    # gamma = 0 leaves the IoU.
    quality = QualityAwareAssigner(confidence_weight=0.0).quality(
        probs, boxes, *targets
    )
    torch.testing.assert_close(quality, torch.tensor([[[1.0, 0.6, 0.5, 0.0]]]))


def test_quality_does_not_depend_on_the_size_of_the_objects():
    # 0.0008 of the width is one pixel of COCO: a floor under the union would bite.
    gt = [0.5, 0.5, 0.0008, 0.0008]
    half = [0.5, 0.5, 0.0008, 0.0004]
    quality = QualityAwareAssigner(confidence_weight=0.0).quality(
        *one_image([0.0, 0.0], [gt, half], [gt])
    )
    torch.testing.assert_close(quality, torch.tensor([[[1.0, 0.5]]]), atol=2e-3, rtol=0)


def test_empty_boxes_have_quality_zero_not_nan():
    point = [0.5, 0.5, 0.0, 0.0]
    quality = QualityAwareAssigner().quality(*one_image([0.0], [point], [point]))
    assert quality.item() == 0


def test_padding_has_quality_minus_infinity():
    probs, boxes, gt, labels, _ = one_image(
        [0.5], [strip(0.2, 0.6)], [strip(0.2, 0.6), strip(0.0, 0.0)]
    )
    valid = torch.tensor([[True, False]])
    quality = QualityAwareAssigner().quality(probs, boxes, gt, labels, valid)
    torch.testing.assert_close(quality, torch.tensor([[[0.8], [-math.inf]]]))


# ---------------------------------------------------------------- Eq. 7 by hand


@pytest.mark.parametrize(
    ('scores', 'options', 'expected'),
    [
        # 0.8 + 0.5 + 0.2 - 0.4 = 1.1 -> 2; the fifth (-0.5) is not among the top 4.
        ([0.8, 0.5, 0.2, -0.4, -0.5], {}, 2),
        # top-1: 0.8 -> 1;  top-3: 1.5 -> 2.
        ([0.8, 0.5, 0.2, -0.4, -0.5], dict(candidate_topk=1), 1),
        ([0.8, 0.5, 0.2, -0.4, -0.5], dict(candidate_topk=3), 2),
        # All five: 0.6 -> 1, raised to l = 3.
        ([0.8, 0.5, 0.2, -0.4, -0.5], dict(candidate_topk=5, min_positives=3), 3),
        # A negative sum (-1.0) still gives l.
        ([-0.1, -0.2, -0.3, -0.4], {}, 1),
        # Integer sums stay: 1 + 0.5 + 0.5 + 0 = 2 -> 2, not 3.
        ([1.0, 0.5, 0.5, 0.0], {}, 2),
        # ... also where rounding leaves them a little above: 0.7 + 0.2 + 0.1.
        ([0.7, 0.2, 0.1, 0.0], {}, 1),
        # Four perfect queries nobody is confident about: all of them.
        ([1.0, 1.0, 1.0, 1.0, 1.0], {}, 4),
        # Fewer queries than k: 0.9 + 0.8 = 1.7 -> 2.
        ([0.9, 0.8], {}, 2),
    ],
)
def test_number_of_positives(scores, options, expected):
    quality = torch.tensor(scores)[None, None]
    counts = QualityAwareAssigner(**options).num_positives(quality)
    assert counts.tolist() == [[expected]]


def test_number_of_positives_is_counted_for_each_object():
    # 0.9 + 0.9 + 0.9 - 0.1 = 2.6 -> 3;  0.4 + 0.3 + 0.2 + 0.2 = 1.1 -> 2.
    quality = torch.tensor([[[0.9, 0.9, 0.9, -0.1], [0.4, 0.3, 0.2, 0.2]]])
    assert QualityAwareAssigner().num_positives(quality).tolist() == [[3, 2]]


# ------------------------------------------------------- conflicts, worked by hand


def test_positives_are_the_best_of_the_ranking():
    # Object [0.2, 0.6]. IoU: q0 0 (apart), q1 0.3/0.5 = 0.6, q2 1, q3 0.2/0.4 = 0.5.
    # With p = 0.5 everywhere, s = IoU - 0.2: -0.2, 0.4, 0.8, 0.3. The sum is 1.3,
    # so two positives: q2 and q1.
    batch = one_image(
        [0.5] * 4,
        [strip(0.8, 1.0), strip(0.3, 0.7), strip(0.2, 0.6), strip(0.2, 0.4)],
        [strip(0.2, 0.6)],
    )
    assert QualityAwareAssigner().assign_batch(*batch).tolist() == [[-1, 0, 0, -1]]


def test_confident_queries_give_way_to_under_confident_ones():
    # The same box twice: s = 1 - 0.4 * 0.9 = 0.64 and 1 - 0.4 * 0.1 = 0.96. With
    # k = 1 the sum 0.96 gives one positive: the under-confident query.
    box = strip(0.2, 0.6)
    assigner = QualityAwareAssigner(candidate_topk=1)
    assert assigner.assign_batch(
        *one_image([0.9, 0.1], [box, box], [box])
    ).tolist() == [[-1, 0]]


def test_a_query_wanted_twice_goes_to_the_better_object():
    # q0 = [0.2, 0.6]: IoU 1 with object 1, 0.3/0.5 = 0.6 with object 0 = [0.3, 0.7].
    # q1 = [0.8, 1.0] meets neither. With p = 0 both objects have k_j = 1 and pick
    # q0; object 1 gets it, object 0 then takes the free q1.
    batch = one_image(
        [0.0, 0.0],
        [strip(0.2, 0.6), strip(0.8, 1.0)],
        [strip(0.3, 0.7), strip(0.2, 0.6)],
    )
    assert QualityAwareAssigner().assign_batch(*batch).tolist() == [[1, 0]]


def test_ties_go_to_the_lower_object_and_the_lower_query():
    # q0 = [0.25, 0.75] has IoU 0.375/0.625 = 0.6 with [0.125, 0.625] and with
    # [0.375, 0.875]; both pick it (k_j = 1), object 0 keeps it. q1 and q2 are the
    # same and free: object 1 takes the first of them.
    batch = one_image(
        [0.0, 0.0, 0.0],
        [strip(0.25, 0.75), strip(0.0, 0.0), strip(0.0, 0.0)],
        [strip(0.125, 0.625), strip(0.375, 0.875)],
    )
    assert QualityAwareAssigner().assign_batch(*batch).tolist() == [[0, 1, -1]]


def test_proposals_repeat_until_every_object_has_a_query():
    # Three equal objects, one perfect query q0 and two that meet nothing. All three
    # pick q0 -> object 0. Objects 1 and 2 both propose to q1 -> object 1. Object 2
    # proposes again -> q2.
    box, away = strip(0.2, 0.6), strip(0.8, 1.0)
    batch = one_image([0.0] * 4, [box, away, away, away], [box] * 3)
    assert QualityAwareAssigner().assign_batch(*batch).tolist() == [[0, 1, 2, -1]]


def test_objects_beyond_the_number_of_queries_stay_without():
    # q0 is perfect for object 1, q1 for object 2; objects 0 and 3 find none free.
    batch = one_image(
        [0.0, 0.0],
        [strip(0.25, 0.5), strip(0.5, 0.75)],
        [strip(0.0, 0.25), strip(0.25, 0.5), strip(0.5, 0.75), strip(0.75, 1.0)],
    )
    assert QualityAwareAssigner().assign_batch(*batch).tolist() == [[1, 2]]


def test_nan_query_is_never_preferred():
    # q0 is NaN, q1 meets nothing but is a number: s = -0.4 beats NaN.
    batch = one_image([0.5, 1.0], [[math.nan] * 4, strip(0.8, 1.0)], [strip(0.2, 0.6)])
    assert QualityAwareAssigner().assign_batch(*batch).tolist() == [[-1, 0]]


def test_all_predictions_nan_still_gives_each_object_a_query():
    batch = one_image(
        [math.nan] * 3, [[math.nan] * 4] * 3, [strip(0.0, 0.5), strip(0.5, 1.0)]
    )
    assert QualityAwareAssigner().assign_batch(*batch).tolist() == [[0, 1, -1]]


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ('options', 'names'),
    [
        (dict(candidate_topk=0), ('candidate_topk', '0')),
        (dict(candidate_topk=-3), ('candidate_topk', '-3')),
        (dict(min_positives=0), ('min_positives', '0')),
        (dict(confidence_weight=-0.1), ('confidence_weight', '-0.1')),
        (dict(confidence='argmax'), ('confidence', 'argmax')),
    ],
)
def test_bad_settings_get_one_sentence(options, names):
    with pytest.raises(ConfigError) as error:
        QualityAwareAssigner(**options)
    sentence = str(error.value)
    assert '\n' not in sentence
    for name in names:
        assert name in sentence
