"""Gather, scatter and the mask between them: properties, and a double loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_qrpaq.routing.gather_scatter import (
    block_keys,
    gather,
    hide_keys,
    pack,
    scatter,
)

# Decisions of a small batch: images of equal length.
DECISIONS = st.integers(1, 7).flatmap(
    lambda nq: st.lists(
        st.lists(st.booleans(), min_size=nq, max_size=nq), min_size=1, max_size=3
    )
)
quick = settings(max_examples=60)


def queries_like(enter: torch.Tensor, dim: int = 3) -> torch.Tensor:
    """All entries different, so that a query in a wrong place is seen."""
    return torch.arange(1.0, enter.numel() * dim + 1).view(*enter.shape, dim)


def longest(enter: torch.Tensor) -> int:
    return max(int(enter.sum(1).max()), 1)


@quick
@given(DECISIONS, st.integers(0, 7))
def test_what_was_gathered_scatters_back_to_the_same_queries(decisions, extra):
    enter = torch.tensor(decisions)
    slots = min(longest(enter) + extra, enter.shape[1])
    queries = queries_like(enter)
    packing = pack(enter, slots)
    assert torch.equal(
        scatter(gather(queries, packing.index), packing, queries), queries
    )


@quick
@given(DECISIONS, st.integers(0, 7))
def test_entering_queries_come_first_in_their_own_order(decisions, extra):
    enter = torch.tensor(decisions)
    slots = min(longest(enter) + extra, enter.shape[1])
    packing = pack(enter, slots)
    for image, row in enumerate(decisions):
        entering = [i for i, yes in enumerate(row) if yes]
        found = packing.index[image].tolist()
        assert found[: len(entering)] == entering
        assert len(set(found)) == slots, 'no position twice'
        assert packing.valid[image].tolist() == [
            slot < len(entering) for slot in range(slots)
        ]


@quick
@given(DECISIONS)
def test_only_entering_queries_are_replaced(decisions):
    enter = torch.tensor(decisions)
    queries = queries_like(enter)
    packing = pack(enter, longest(enter))
    # What padding slots bring back must not show, however wrong it is.
    routed = torch.where(
        packing.valid.unsqueeze(-1), -gather(queries, packing.index), torch.nan
    )
    expected = queries.clone()
    for image, row in enumerate(decisions):
        for i, yes in enumerate(row):
            if yes:
                expected[image, i] = -queries[image, i]
    assert torch.equal(scatter(routed, packing, queries), expected)


@quick
@given(DECISIONS, st.randoms(use_true_random=False))
def test_order_of_images_and_queries_does_not_matter(decisions, random):
    enter = torch.tensor(decisions)
    queries = queries_like(enter)
    images = list(range(enter.shape[0]))
    places = list(range(enter.shape[1]))
    random.shuffle(images), random.shuffle(places)

    def route(queries, enter):
        packing = pack(enter, longest(enter))
        return scatter(gather(queries, packing.index) * 10, packing, queries)

    shuffled = route(queries[images][:, places], enter[images][:, places])
    assert torch.equal(shuffled, route(queries, enter)[images][:, places])


def test_without_padding_there_is_nothing_to_check():
    enter = torch.tensor([[True, False, True], [False, True, True]])
    packing = pack(enter, 2, padded=False)
    assert packing.valid is None
    assert packing.index.tolist() == [[0, 2], [1, 2]]
    queries = queries_like(enter)
    result = scatter(gather(queries, packing.index) + 100, packing, queries)
    assert torch.equal(result, queries + 100 * enter.unsqueeze(-1))


@pytest.mark.parametrize('tail', [(), (3,), (2, 4)])
def test_gather_takes_what_any_host_gives_per_query(tail):
    # Deformable hosts hand (bs, nq, levels, 4), Conditional-DETR (bs, nq, dim).
    values = torch.arange(2 * 4 * 8.0)[: 2 * 4 * int(torch.tensor(tail).prod())]
    values = values.view(2, 4, *tail)
    index = torch.tensor([[2, 0], [1, 3]])
    taken = gather(values, index)
    for image in range(2):
        for slot in range(2):
            assert torch.equal(taken[image, slot], values[image, index[image, slot]])


def test_gradients_reach_each_query_once():
    enter = torch.tensor([[True, False, True, False]])
    queries = queries_like(enter, 1).requires_grad_()
    packing = pack(enter, 3)
    scatter(gather(queries, packing.index) * 5, packing, queries).sum().backward()
    # 5 through the slice, 1 around it; the padding slot of query 1 adds nothing.
    assert queries.grad.flatten().tolist() == [5, 1, 5, 1]


@quick
@given(DECISIONS, st.sampled_from(['none', 'shared', 'own']), st.integers(1, 3))
def test_mask_against_a_double_loop(decisions, kind, num_heads):
    enter = torch.tensor(decisions)
    bs, n = enter.shape
    draw = torch.Generator().manual_seed(n)
    mask = {
        'none': None,
        'shared': torch.rand(n, n, generator=draw) < 0.5,
        'own': torch.rand(bs, n, n, generator=draw) < 0.5,
    }[kind]
    blocked = block_keys(enter, mask, num_heads).view(bs, num_heads, n, n)
    for image in range(bs):
        for row in range(n):
            for column in range(n):
                expected = not decisions[image][column]
                if kind == 'shared':
                    expected = expected or bool(mask[row, column])
                if kind == 'own':
                    expected = expected or bool(mask[image, row, column])
                if row == column:
                    expected = False
                heads = blocked[image, :, row, column].tolist()
                assert heads == [expected] * num_heads


@quick
@given(DECISIONS, st.integers(1, 3))
def test_additive_mask_against_a_loop(decisions, num_heads):
    enter = torch.tensor(decisions)
    bs, n = enter.shape
    added = hide_keys(enter, num_heads, torch.float64)
    assert added.dtype == torch.float64
    for image, row in enumerate(decisions):
        # Nobody is hidden where nobody enters: a row of -inf would become NaN.
        expected = [-float('inf') if any(row) and not yes else 0.0 for yes in row]
        for head in range(num_heads):
            found = added[image * num_heads + head].tolist()
            assert found == [expected] * n


def test_if_all_enter_the_hosts_own_mask_is_left_alone():
    assert block_keys(None, None, 8) is None
    shared = torch.tensor([[False, True], [False, False]])
    assert block_keys(None, shared, 8) is shared
    own = torch.stack([shared, ~shared])
    heads = block_keys(None, own, 2)
    assert torch.equal(heads, torch.stack([shared, shared, ~shared, ~shared]))
