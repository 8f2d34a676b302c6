"""The box branch on selected proposals alone: the same outputs from fewer rows."""

import pytest
import torch

from leaves import PAPER_LEAVES, build, read
from mmdet_qrpaq.hosts.dino import MendedDINO
from mmdet_qrpaq.hosts.select_first import BoxesToGather
from tiny_hosts import (
    METHODS,
    NUM_QUERIES,
    build_host,
    host_config,
    make_batch,
    run_loss,
    total_loss,
)
from tiny_hosts import build as build_config

FAMILY = ('dino', 'dab_deformable', 'dn_deformable')
CASES = [(host, method) for host in FAMILY for method in ('none', 'paq', 'qr')]


def both(host: str, **options) -> list:
    """The detector without and with the switch, equal weights."""
    found = []
    for select_first in (False, True):
        model = host_config(host, **options)
        model.select_first = select_first
        found.append(build_config(model))
    return found


def rows_of_the_box_branch(detector, run) -> list[int]:
    """How many rows its linear layers are given, in each image."""
    seen = []
    branch = detector.bbox_head.reg_branches[detector.decoder.num_layers]
    hook = branch[0].register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape[1])
    )
    run()
    hook.remove()
    return seen


@pytest.mark.parametrize(('name', 'method'), CASES)
def test_outputs_and_gradients_are_the_same(name, method):
    every, selected = both(name, **METHODS[method])
    batch = make_batch([2, 3], [(64, 96), (48, 64)])
    expected, found = run_loss(every, batch), run_loss(selected, batch)
    assert list(found) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5)
    total_loss(expected).backward()
    total_loss(found).backward()
    for (key, one), other in zip(
        every.named_parameters(), selected.parameters(), strict=True
    ):
        assert (one.grad is None) == (other.grad is None), key
        if one.grad is not None:
            gap = (one.grad - other.grad).norm()
            assert gap <= 1e-4 * one.grad.norm() + 1e-6, key
    every.eval(), selected.eval()
    with torch.no_grad():
        for one, other in zip(every(**batch), selected(**batch), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('hybrid', [0, 4])
def test_the_box_branch_sees_selected_rows_alone(hybrid):
    extra = dict(num_queries=hybrid, num_repeats=2)
    every, selected = both('dino', **(dict(hybrid_branch=extra) if hybrid else {}))
    batch = make_batch([2, 3])
    positions = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    for detector, rows in ((every, positions), (selected, NUM_QUERIES + hybrid)):
        seen = rows_of_the_box_branch(detector, lambda d=detector: run_loss(d, batch))
        assert seen == [rows]
    branch = selected.bbox_head.reg_branches[-1]
    assert 'forward' not in vars(branch)  # as before the call


def test_off_by_default():
    assert build_host('dino').select_first is False


def test_every_full_size_leaf_that_can_has_it_on():
    able = [n for n in PAPER_LEAVES if isinstance(build(n), MendedDINO)]
    assert len(able) > 20
    assert all(read(name).model.select_first for name in able)


def test_rows_by_hand():
    """Twice the row, and the proposal on top."""
    rows = torch.arange(12.0).view(1, 3, 4)
    boxes = BoxesToGather(lambda x: 2 * x, rows) + torch.full((1, 3, 4), 0.5)
    index = torch.tensor([2, 0])[None, :, None].repeat(1, 1, 4)
    found = torch.gather(boxes, 1, index)
    assert found.tolist() == [[[16.5, 18.5, 20.5, 22.5], [0.5, 2.5, 4.5, 6.5]]]
    with pytest.raises(TypeError, match='sigmoid'):
        torch.sigmoid(boxes)
