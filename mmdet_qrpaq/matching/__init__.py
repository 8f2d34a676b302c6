"""Predictions of all layers -> Hungarian matches -> losses (Eq. 1-2), in one go."""

from .denoising_mixin import BatchedDenoisingMixin
from .ground_truth import GroundTruth, pad_ground_truth
from .head_mixin import BatchedLossesHead, hungarian_losses
from .hungarian import Matches
from .losses import Targets, losses_of_layers

__all__ = [
    'BatchedDenoisingMixin',
    'BatchedLossesHead',
    'GroundTruth',
    'Matches',
    'Targets',
    'hungarian_losses',
    'losses_of_layers',
    'pad_ground_truth',
]
