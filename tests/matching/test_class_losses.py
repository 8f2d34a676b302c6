"""The class losses that need no one-hot target against mmdet's, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.models.losses.varifocal_loss import varifocal_loss

from mmdet_qrpaq.matching.class_losses import focal_loss
from mmdet_qrpaq.quality import IoUAwareVarifocalLoss

# From sure of 'no' to sure of 'yes', beyond where softplus becomes linear.
SPREADS = [0.1, 3.0, 30.0]


def rows(spread: float, count: int = 40, classes: int = 5):
    draw = torch.Generator().manual_seed(0)
    logits = spread * torch.randn(count, classes, generator=draw)
    labels = torch.randint(classes + 1, (count,), generator=draw)
    return logits.requires_grad_(), labels, F.one_hot(labels, classes + 1)[:, :-1]


def check_same(mine, expected, logits) -> None:
    # mmdet's cross-entropy subtracts two numbers that are nearly the same.
    torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-6)
    weights = torch.rand(mine.shape)
    grads = [torch.autograd.grad((x * weights).sum(), logits) for x in (mine, expected)]
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('spread', SPREADS)
@pytest.mark.parametrize(('alpha', 'gamma'), [(0.25, 2.0), (0.6, 1.5), (0.5, 0.0)])
def test_focal_loss(spread, alpha, gamma):
    logits, labels, one_hot = rows(spread)
    expected = py_sigmoid_focal_loss(
        logits, one_hot, gamma=gamma, alpha=alpha, reduction='none'
    )
    check_same(focal_loss(logits, labels, alpha, gamma), expected, logits)


@pytest.mark.parametrize('spread', SPREADS)
def test_varifocal_loss(spread):
    """Some objects are not overlapped at all."""
    logits, labels, one_hot = rows(spread)
    iou = torch.rand(len(labels)).mul(1.4).sub(0.2).clamp(0, 1)
    mine = IoUAwareVarifocalLoss()(logits, (labels, iou), reduction_override='none')
    expected = varifocal_loss(logits, one_hot * iou[:, None], reduction='none')
    check_same(mine, expected, logits)


def test_no_rows_at_all():
    logits, labels = torch.zeros(0, 3, requires_grad=True), torch.zeros(0).long()
    assert focal_loss(logits, labels, 0.25, 2.0).shape == (0, 3)
    assert IoUAwareVarifocalLoss()(logits, (labels, torch.zeros(0)), avg_factor=1) == 0
