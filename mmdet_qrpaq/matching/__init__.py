"""Predictions of all layers -> Hungarian matches -> losses (PaQ-DETR Eq. 2)."""

from .class_losses import at_labels, negative_loss, with_at_labels
from .dino_mixin import BatchedDINOLossesMixin, objects_at
from .ground_truth import GroundTruth, pad_ground_truth
from .head_mixin import BatchedLossesHead, hungarian_losses, match_layers
from .hungarian import Matches
from .losses import Targets, are_elementwise, losses_of_layers

__all__ = [
    'BatchedDINOLossesMixin',
    'BatchedLossesHead',
    'GroundTruth',
    'Matches',
    'Targets',
    'are_elementwise',
    'at_labels',
    'hungarian_losses',
    'losses_of_layers',
    'match_layers',
    'negative_loss',
    'objects_at',
    'pad_ground_truth',
    'with_at_labels',
]
