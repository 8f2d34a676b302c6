"""From which score on a detection of each class counts."""

import json
from pathlib import Path

DEFAULT = 0.5


def thresholds_of(checkpoint: str, classes: list[str]) -> dict[str, float]:
    """Return the thresholds beside a checkpoint, as its operating points tell them.

    Where there are none, all classes have the same.
    """
    path = Path(checkpoint).with_suffix('.operating_points.json')
    if not path.is_file():
        return dict.fromkeys(classes, DEFAULT)
    points = json.loads(path.read_text())
    known = {name: point['threshold'] for name, point in points['classes'].items()}
    return {name: known.get(name, points['overall']['threshold']) for name in classes}
