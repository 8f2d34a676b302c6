"""From which score on a detection of each class counts."""

import json
from pathlib import Path

from ..errors import ConfigError

DEFAULT = 0.5


def thresholds_of(checkpoint: str, classes: list[str]) -> list[float]:
    """Return the thresholds beside a checkpoint, as its operating points tell them.

    Where there are none, all classes have the same.

    Raises:
        ConfigError: The file beside the checkpoint is damaged.
    """
    path = Path(checkpoint).with_suffix('.operating_points.json')
    if not path.is_file():
        return [DEFAULT] * len(classes)
    try:
        points = json.loads(path.read_text())
        overall = points['overall']
        found = [points['classes'].get(name, overall)['threshold'] for name in classes]
        return list(map(float, found))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f'{path} holds no operating points; remove it, and make it anew.'
        ) from error
