"""IoU-aware varifocal loss for DETR heads (PaQ-DETR Sec. 3.3, [41]).

mmdet's DETR heads hand `(labels, iou)` to any `QualityFocalLoss`, in the one-to-one,
one-to-many, encoder and denoising losses alike. Going through that door needs no change
to the heads.
"""

import torch
import torch.nn.functional as F
from mmdet.models.losses import QualityFocalLoss
from mmdet.models.losses.utils import weight_reduce_loss
from mmdet.registry import MODELS
from torch import Tensor

from ..errors import check_number
from ..matching import at_labels, negative_loss, with_at_labels


@MODELS.register_module()
class IoUAwareVarifocalLoss(QualityFocalLoss):
    """mmdet's varifocal loss on targets that are the IoU at the object's class.

    Or Eq. 6's s = IoU - gamma c there.

    Args:
        alpha: Weight of negatives, >= 0.
        gamma: Focusing exponent of negatives, >= 0.
        loss_weight: Weight of the loss.
        confidence_weight: gamma of Eq. 6 if the targets are to be its s, 'their quality
            scores', not below 0; 0 leaves the IoU.

    Shapes:
        pred: (N, num_classes) logits
        target: labels (N,) int64 with num_classes as background, IoU (N,) in [0, 1]
        weight: (N,)

    Raises:
        ConfigError: If one of them is not a number from 0.
    """

    elementwise = True  # `matching/losses.py`: its mean is that of its elements

    def __init__(
        self,
        alpha: float = 0.75,
        gamma: float = 2.0,
        loss_weight: float = 1.0,
        confidence_weight: float = 0.0,
    ) -> None:
        super().__init__(loss_weight=loss_weight)
        check_number('loss_cls.alpha', alpha, 0, hint='mmdet: 0.75')
        check_number('loss_cls.gamma', gamma, 0, hint='mmdet: 2.0')
        check_number(
            'loss_cls.confidence_weight', confidence_weight, 0, hint='the paper: 0.4'
        )
        self.alpha = alpha
        self.gamma = gamma
        self.confidence_weight = confidence_weight

    def forward(
        self,
        pred: Tensor,
        target: tuple[Tensor, Tensor],
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        labels, iou = target
        pred = pred.float()
        loss = negative_loss(pred, self.alpha, self.gamma)
        own, quality = at_labels(pred, labels), iou[:, None]
        if self.confidence_weight:
            confidence = own.detach().sigmoid()
            quality = (quality - self.confidence_weight * confidence).clamp(min=0)
        # As in mmdet, an object of no quality makes a negative.
        positive = F.binary_cross_entropy_with_logits(own, quality, reduction='none')
        positive = torch.where(quality > 0, quality * positive, at_labels(loss, labels))
        return self.loss_weight * weight_reduce_loss(
            with_at_labels(loss, labels, positive),
            None if weight is None else weight[:, None],
            reduction_override or self.reduction,
            avg_factor,
        )
