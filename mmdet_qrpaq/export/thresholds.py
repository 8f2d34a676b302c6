"""From which score on a detection of each class counts."""

from .. import operating_points

DEFAULT = 0.5


def thresholds_of(checkpoint: str, classes: list[str]) -> list[float]:
    """Return the thresholds beside a checkpoint, as its operating points tell them.

    Where there are none, all classes have the same.

    Raises:
        ConfigError: The file beside the checkpoint is damaged, or of other weights.
    """
    points = operating_points.read(checkpoint)
    if points is None:
        return [DEFAULT] * len(classes)
    return [points.threshold_of(name) for name in classes]
