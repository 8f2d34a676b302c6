"""From which score on a detection counts: what was asked for, or the model's own."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from .. import operating_points
from ..errors import ConfigError
from ..operating_points import OperatingPoints
from ..runtime.checkpoints import is_remote
from ..runtime.examining import use_sound_data
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
        ConfigError: They are damaged; or it has none, and its validation images are
            not here.
    """
    if asked is not None:
        return Thresholds(np.full(len(model.classes), asked), '--threshold')
    points = (
        operating_points.read(model.trained.checkpoint)
        or _published(model)
        or _measured(model)
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


def _measured(model: Model) -> OperatingPoints:
    """Find operating points on the validation images.

    They are kept for next time if the config is the checkpoint's own.
    """
    trained = model.trained
    trained.split = 'val' if trained.cfg.get('val_dataloader') else 'test'
    with TemporaryDirectory() as copies:
        try:
            mended = use_sound_data(trained.cfg, (trained.split,), Path(copies))
            trained.cfg.merge_from_dict(mended)
            number = len(trained.dataloader.dataset)
        except ConfigError as error:
            reason = str(error).rstrip('.')
            raise ConfigError(
                f'nobody has tested {trained.checkpoint}, so its best threshold is not '
                'known, and its validation images are not here; give --threshold, or '
                f'run tools/test.py CONFIG CHECKPOINT --report first ({reason}).'
            ) from error
        from ..analysis.diagnosis.section import THRESHOLDS
        from ..analysis.diagnosis.thresholds import points_of
        from ..analysis.measuring import measure

        print(
            f'nobody has tested {trained.checkpoint}: its best thresholds are looked '
            f'for on {number} validation images first'
        )
        numbers, _ = measure(THRESHOLDS, [trained], THRESHOLDS.choose())
    points = points_of(numbers)
    if model.is_changed:
        print(
            'they are not kept: with --config or --cfg-options they are not those of '
            'the checkpoint as it was trained'
        )
    elif not is_remote(trained.checkpoint):
        try:
            print(f'written: {operating_points.write(points, trained.checkpoint)}')
        except OSError as error:
            print(f'they are not kept beside the checkpoint: {error}')
    return points
