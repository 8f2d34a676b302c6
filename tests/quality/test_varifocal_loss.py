"""The varifocal loss through the door that DETR heads open for `QualityFocalLoss`."""

import math

import pytest
import torch
from mmdet.models.losses import QualityFocalLoss, VarifocalLoss

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.quality import IoUAwareVarifocalLoss


def test_by_hand():
    # One query of class 0 with IoU 0.8 and probability 0.5 for both classes.
    loss = IoUAwareVarifocalLoss(alpha=0.75, gamma=2.0, loss_weight=2.0)
    value = loss(
        torch.zeros(1, 2),
        (torch.tensor([0]), torch.tensor([0.8])),
        torch.ones(1),
        avg_factor=4,
    )
    # Positive: q * BCE(0.5, q) = 0.8 * ln 2. Negative: 0.75 * 0.5^2 * ln 2.
    expected = 2.0 * (0.8 + 0.75 * 0.25) * math.log(2) / 4
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_targets_of_eq_6_by_hand():
    # IoU 0.8 and 0.1, probability 0.5: s = 0.8 - 0.4 * 0.5 = 0.6, and 0 from -0.1.
    loss = IoUAwareVarifocalLoss(alpha=0.75, gamma=2.0, confidence_weight=0.4)
    target = (torch.tensor([0, 1]), torch.tensor([0.8, 0.1]))
    value = loss(torch.zeros(2, 2), target, torch.ones(2), avg_factor=4)
    expected = (0.6 + 3 * 0.75 * 0.25) * math.log(2) / 4
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_equals_the_loss_of_mmdet_on_scattered_targets():
    torch.manual_seed(0)
    pred, iou = torch.randn(7, 3), torch.rand(7)
    labels = torch.tensor([0, 3, 2, 1, 3, 3, 0])  # 3 is background
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.5, 1.0, 1.0])
    target = torch.zeros(7, 3)
    for row, label in enumerate(labels.tolist()):
        if label < 3:
            target[row, label] = iou[row]
    expected = VarifocalLoss(loss_weight=1.5)(
        pred, target, weight[:, None], avg_factor=5
    )
    ours = IoUAwareVarifocalLoss(loss_weight=1.5)
    torch.testing.assert_close(
        ours(pred, (labels, iou), weight, avg_factor=5), expected
    )
    assert isinstance(ours, QualityFocalLoss) and ours.use_sigmoid


@pytest.mark.parametrize(
    'setting', [dict(alpha=-0.1), dict(gamma=math.nan), dict(confidence_weight=-1)]
)
def test_bad_settings_are_refused(setting):
    with pytest.raises(ConfigError, match=f'{next(iter(setting))} is .* number from 0'):
        IoUAwareVarifocalLoss(**setting)
