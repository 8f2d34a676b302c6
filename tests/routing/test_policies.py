"""Decision rules against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_qrpaq.routing.policies import (
    Decision,
    StandardizedPolicy,
    ThresholdPolicy,
    TopSharePolicy,
    limit_to_capacity,
)

POLICIES = [ThresholdPolicy(), StandardizedPolicy(), TopSharePolicy(0.4)]
MARGINS = st.lists(st.integers(-20, 20), min_size=2, max_size=9)
quick = settings(max_examples=100)


def scores_of(margins, bypass: float = 0.0) -> torch.Tensor:
    """Scores whose 'enter' is `margins` above a common 'bypass'."""
    margins = torch.as_tensor(margins, dtype=torch.float64)
    return torch.stack([margins + bypass, torch.full_like(margins, bypass)], -1)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_threshold_by_hand():
    scores = torch.tensor([[[2.0, 1.0], [1.0, 2.0], [3.0, 3.0], [-5.0, -5.5]]])
    decision = ThresholdPolicy()(scores)
    assert decision.enter.tolist() == [[True, False, True, True]], 'ties enter'
    assert decision.margin.tolist() == [[1, -1, 0, 0.5]]
    expected = [sigmoid(1), sigmoid(-1), 0.5, sigmoid(0.5)]
    assert decision.probability[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ('threshold', 'enter'),
    [
        # Margins 1, 2, 3, 6: mean 3, deviations -2, -1, 0, 3, variance 14 / 4.
        (-0.5, [False, False, True, True]),  # -1 / 1.871 = -0.535
        (-0.54, [False, True, True, True]),
        (0.0, [False, False, True, True]),
        (0.1, [False, False, False, True]),
        (-3, [True] * 4),
        (3, [False] * 4),
    ],
)
def test_standardized_by_hand(threshold, enter):
    decision = StandardizedPolicy(threshold)(scores_of([[1, 2, 3, 6]]))
    assert decision.enter.tolist() == [enter]
    expected = [d / math.sqrt(3.5) for d in (-2, -1, 0, 3)]
    assert decision.margin[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert decision.probability[0].tolist() == pytest.approx(
        [sigmoid(value - threshold) for value in expected], abs=1e-6
    )


@quick
@given(MARGINS)
def test_standardized_splits_every_image_whose_margins_differ(margins):
    """At threshold 0, some enter and some do not; the best always does.

    Below it all may enter, if none falls far behind: at -0.5 always the best, and not
    all if the worst lies half a deviation below the mean, as in any even split.
    """
    decision = StandardizedPolicy(0.0)(scores_of([margins]))
    if len(set(margins)) == 1:
        assert decision.enter.all()
    else:
        assert decision.enter.any() and not decision.enter.all()
    default = StandardizedPolicy()(scores_of([margins])).enter[0]
    assert default[margins.index(max(margins))]
    mean = sum(margins) / len(margins)
    spread = math.sqrt(sum((m - mean) ** 2 for m in margins) / len(margins))
    if min(margins) < mean - 0.51 * spread - 1e-3:
        assert not default[margins.index(min(margins))]


def test_standardized_lets_all_enter_if_only_one_leads():
    """One far ahead of n equals: they lie 1 / sqrt(n) below the mean, so from 5 on."""
    for n, all_enter in ((3, False), (5, True), (11, True)):
        margins = [[0.0] * n + [100.0]]
        decision = StandardizedPolicy(-0.5)(scores_of(margins))
        assert bool(decision.enter.all()) is all_enter, n


@quick
@given(MARGINS, st.integers(-50, 50), st.integers(2, 9))
def test_standardized_does_not_see_a_common_shift_or_scale(margins, shift, scale):
    policy = StandardizedPolicy(0.03)
    before = policy(scores_of([margins]))
    after = policy(scores_of([[m * scale + shift for m in margins]]))
    assert torch.equal(before.enter, after.enter)


@pytest.mark.parametrize(
    ('share', 'enter'),
    [
        (0.001, [False, True, False, False, False]),
        (0.2, [False, True, False, False, False]),
        (0.4, [True, True, False, False, False]),  # ties fall to the first
        (0.41, [True, True, False, True, False]),  # 2.05 queries are 3
        (1, [True] * 5),
    ],
)
def test_top_share_by_hand(share, enter):
    decision = TopSharePolicy(share)(scores_of([[2, 7, -1, 2, 0]]))
    assert decision.enter.tolist() == [enter]
    cut = min(m for m, yes in zip([2, 7, -1, 2, 0], enter, strict=True) if yes)
    expected = [sigmoid(m - cut) for m in (2, 7, -1, 2, 0)]
    assert decision.probability[0].tolist() == pytest.approx(expected)


def test_a_share_of_whole_queries_is_not_rounded_up():
    """0.28 * 100 is a little more than 28 in floating point."""
    decision = TopSharePolicy(0.28)(scores_of([list(range(100))]))
    assert decision.enter.sum() == 28


@pytest.mark.parametrize('policy', POLICIES, ids=lambda policy: type(policy).__name__)
def test_images_decide_on_their_own(policy):
    scores = torch.randn(3, 7, 2, generator=torch.Generator().manual_seed(3))
    together = policy(scores)
    for image in range(3):
        alone = policy(scores[image : image + 1])
        assert torch.equal(together.enter[image], alone.enter[0])
        for both, one in zip(together, alone, strict=True):
            torch.testing.assert_close(both[image], one[0])


@pytest.mark.parametrize('policy', POLICIES, ids=lambda policy: type(policy).__name__)
def test_order_of_queries_does_not_matter(policy):
    scores = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(4)).double()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    for before, after in zip(policy(scores), policy(scores[:, order]), strict=True):
        torch.testing.assert_close(before[:, order], after)


@pytest.mark.parametrize('policy', POLICIES, ids=lambda policy: type(policy).__name__)
def test_entering_is_the_likelier_side_of_the_probability(policy):
    """The straight-through gradient pushes the way the decision falls."""
    scores = torch.randn(4, 11, 2, generator=torch.Generator().manual_seed(6))
    decision = policy(scores)
    assert (decision.probability[decision.enter] >= 0.5).all()
    assert (decision.probability[~decision.enter] < 0.5).all()
    assert (
        decision.margin.masked_fill(~decision.enter, torch.inf).amin(1)
        >= decision.margin.masked_fill(decision.enter, -torch.inf).amax(1)
    ).all()


@pytest.mark.parametrize('policy', POLICIES[:2], ids=['threshold', 'standardized'])
def test_gradient_of_the_probability(policy):
    scores = scores_of([[2.0, 7.0, -1.0, 2.5, 0.0]], 0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: policy(s).probability, scores)


@pytest.mark.parametrize('policy', POLICIES, ids=lambda policy: type(policy).__name__)
def test_entering_and_bypassing_pull_in_opposite_directions(policy):
    scores = scores_of([[2.0, 7.0, -1.0, 2.5, 0.0]], 0.3).requires_grad_()
    weight = torch.arange(1.0, 6.0, dtype=torch.float64)
    (policy(scores).probability * weight).sum().backward()
    assert (scores.grad[..., 0] != 0).all()
    torch.testing.assert_close(scores.grad[..., 0], -scores.grad[..., 1])


def test_no_gradient_through_the_cut_of_the_top_share():
    scores = scores_of([[1.0, 4.0, 2.0]]).requires_grad_()
    TopSharePolicy(0.5)(scores).probability[0, 1].backward()
    slope = sigmoid(2) * (1 - sigmoid(2))  # the cut is the 2 of query 2
    assert scores.grad[0, :, 0].tolist() == pytest.approx([0, slope, 0])


@pytest.mark.parametrize(
    ('capacity', 'enter'),
    [
        (1, [False, False, False, True, False]),
        (2, [True, False, False, True, False]),  # 0 before 4: a tie
        (3, [True, False, False, True, True]),
        (4, [True, True, False, True, True]),
        (5, [True, True, False, True, True]),  # 2 did not want to
    ],
)
def test_capacity_keeps_the_highest_margins_of_those_entering(capacity, enter):
    decision = Decision(
        torch.tensor([[True, True, False, True, True]]),
        torch.tensor([[3.0, 1.0, 9.0, 5.0, 3.0]]),
        torch.full((1, 5), 0.5),
    )
    limited = limit_to_capacity(decision, capacity)
    assert limited.enter.tolist() == [enter]
    assert limited.margin is decision.margin
    assert limited.probability is decision.probability


@quick
@given(
    st.lists(st.tuples(st.booleans(), st.integers(-2, 2)), min_size=1, max_size=8),
    st.integers(1, 8),
)
def test_capacity_against_a_loop(queries, capacity):
    enter, margin = (torch.tensor([column]) for column in zip(*queries, strict=True))
    limited = limit_to_capacity(Decision(enter, margin.double(), margin), capacity)
    wanting = [i for i, (yes, _) in enumerate(queries) if yes]
    kept = sorted(wanting, key=lambda i: (-queries[i][1], i))[:capacity]
    assert limited.enter[0].nonzero().flatten().tolist() == sorted(kept)
