"""IoU-aware varifocal loss for DETR heads (PaQ-DETR Sec. 3.3, [41]).

mmdet's DETR heads hand `(labels, iou)` to any `QualityFocalLoss`, in the one-to-one,
one-to-many, encoder and denoising losses alike. Going through that door needs no change
to the heads.
"""

import torch
import torch.nn.functional as F
from mmdet.models.losses import QualityFocalLoss
from mmdet.models.losses.varifocal_loss import varifocal_loss
from mmdet.registry import MODELS
from torch import Tensor

from ..errors import check_number


@MODELS.register_module()
class IoUAwareVarifocalLoss(QualityFocalLoss):
    """mmdet's varifocal loss on targets that are the IoU at the object's class.

    Args:
        alpha: Weight of negatives, >= 0.
        gamma: Focusing exponent of negatives, >= 0.
        loss_weight: Weight of the loss.

    Shapes:
        pred: (N, num_classes) logits
        target: labels (N,) int64 with num_classes as background, IoU (N,) in [0, 1]
        weight: (N,)

    Raises:
        ConfigError: If alpha or gamma is not a number from 0.
    """

    elementwise = True  # `matching/losses.py`: its mean is that of its elements

    def __init__(
        self, alpha: float = 0.75, gamma: float = 2.0, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight=loss_weight)
        check_number('loss_cls.alpha', alpha, 0, hint='mmdet: 0.75')
        check_number('loss_cls.gamma', gamma, 0, hint='mmdet: 2.0')
        self.alpha = alpha
        self.gamma = gamma

    def forward(
        self,
        pred: Tensor,
        target: tuple[Tensor, Tensor],
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        labels, iou = target
        num_classes = pred.shape[1]
        one_hot = F.one_hot(labels, num_classes + 1)[:, :num_classes]
        if torch.is_tensor(weight):
            weight = weight[:, None]
        return self.loss_weight * varifocal_loss(
            pred,
            one_hot * iou[:, None],
            weight,
            alpha=self.alpha,
            gamma=self.gamma,
            reduction=reduction_override or self.reduction,
            avg_factor=avg_factor,
        )
