"""From which score on a detection counts: what was asked for, or the model's own."""

from dataclasses import dataclass

import msgspec
import numpy as np

from .. import operating_points
from ..errors import ConfigError
from ..operating_points import OperatingPoints
from ..runtime.publishing import POINTS
from .model import Model


@dataclass(frozen=True)
class Thresholds:
    """Least scores of detections that count.

    Attributes:
        values: By label, (classes,).
        reason: Where they are from, for whoever reads it.
    """

    values: np.ndarray
    reason: str

    def __str__(self) -> str:
        """Say them in a line."""
        low, high = self.values.min(), self.values.max()
        span = f'{low:.3g}' if low == high else f'{low:.3g} to {high:.3g}, by class'
        return f'score threshold: {span} ({self.reason})'


def thresholds_of(model: Model, asked: float | None) -> Thresholds:
    """Return the thresholds of a command, or those of the model's own validation.

    Args:
        asked: One for all classes; `None`: the model's own.

    Raises:
        ConfigError: It has none, or they are damaged.
    """
    if asked is not None:
        return Thresholds(np.full(len(model.classes), asked), '--threshold')
    points = operating_points.read(model.trained.checkpoint) or _published(model)
    if points is None:
        raise ConfigError(
            f'nobody has tested {model.trained.checkpoint}, so that its best threshold '
            'is not known; give --threshold, or run tools/test.py CONFIG CHECKPOINT '
            '--report first.'
        )
    values = [points.threshold_of(name) for name in model.classes]
    reason = f'best F1 on {points.ann_file}, {points.num_images} images'
    return Thresholds(np.array(values), reason)


def _published(model: Model) -> OperatingPoints | None:
    """Return the operating points in the checkpoint itself."""
    if POINTS not in model.meta:
        return None
    try:
        return msgspec.convert(model.meta[POINTS], OperatingPoints)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f'{model.trained.checkpoint} holds operating points that are none ({error})'
            '; give --threshold.'
        ) from error
