"""From which score on a model's detections are worth having, found on its own images.

Written beside a checkpoint by whoever has tested it, read by whoever predicts with it:

    points = operating_points.read('epoch_12.pth')  # None: nobody has tested it
    points.overall.threshold, points.threshold_of('cat')
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from .errors import ConfigError
from .records.provenance import hash_file
from .records.results import write_whole

SUFFIX = '.operating_points.json'
_CURE = (
    'give tools/predict.py a --threshold, or remove the file, and it is found anew, by '
    'tools/predict.py or tools/test.py --report'
)
# Where nothing is right there is no best threshold.
FALLBACK = 0.5

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True)
class OperatingPoint:
    """The score threshold with the best F1, and what it gives.

    Attributes:
        threshold: A detection counts from this score on.
        f1, precision, recall: Of the detections that count.
        objects: How many there were to find.
    """

    threshold: Share
    f1: Share
    precision: Share
    recall: Share
    objects: Count


@dataclass(frozen=True)
class OperatingPoints:
    """The operating points of a model: one a class, and one for all of them.

    Attributes:
        overall: Best F1 of the detections of all classes under one threshold.
        classes: By name, in the order of labels. A class of which nothing was found
            has the threshold of `overall`.
        ann_file: Name of the annotation file that they were found on.
        num_images: In it.
        iou_threshold: Least IoU of a right detection with its object.
        weights: Fingerprint of the checkpoint; `write` fills it in.
    """

    overall: OperatingPoint
    classes: dict[str, OperatingPoint]
    ann_file: str
    num_images: Count
    iou_threshold: Share = 0.5
    weights: str = ''

    def threshold_of(self, name: str) -> float:
        """Return the threshold of a class; of one that is not known, the overall."""
        return self.classes.get(name, self.overall).threshold


def path_of(checkpoint: str | Path) -> Path:
    """Return where the operating points of a checkpoint are: beside the real file."""
    path = Path(checkpoint)
    path = path.resolve() if path.is_symlink() else path
    return Path(f'{path}{SUFFIX}')


def write(points: OperatingPoints, checkpoint: str | Path) -> Path:
    """Write operating points beside their checkpoint, whole or not at all.

    Args:
        checkpoint: A file; the points are bound to what is in it now.

    Returns:
        Where they are.
    """
    bound = replace(points, weights=hash_file(Path(checkpoint)))
    text = msgspec.json.format(msgspec.json.encode(bound), indent=1) + b'\n'
    return write_whole(path_of(checkpoint), text)


def read(checkpoint: str | Path) -> OperatingPoints | None:
    """Return the operating points of a checkpoint; None if there are none.

    Args:
        checkpoint: A file, or an address, which has none.

    Raises:
        ConfigError: They are of other weights, or damaged.
    """
    path = path_of(checkpoint)
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f'{path} cannot be read ({error.strerror}).') from error
    try:
        points = msgspec.json.decode(text, type=OperatingPoints)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f'{path} holds no operating points ({error}); {_CURE}.'
        ) from error
    if points.weights != hash_file(Path(checkpoint)):
        raise ConfigError(f'{path} is of other weights than {checkpoint}; {_CURE}.')
    return points


def best_thresholds(
    scores: np.ndarray,
    right: np.ndarray,
    labels: np.ndarray,
    objects: Mapping[str, int],
) -> tuple[OperatingPoint, dict[str, OperatingPoint]]:
    """Return the best point of all classes together, and of each.

    Args:
        scores: Of all detections in all images.
        right: Whether each is matched with an object, bool.
        labels: Their classes, as places in `objects`.
        objects: How many of each class there are, by name.

    Shapes:
        scores, right, labels: (n,).
    """
    overall = best_point(scores, right, sum(objects.values()))
    classes = {}
    for label, (name, count) in enumerate(objects.items()):
        mine = labels == label
        point = best_point(scores[mine], right[mine], count)
        if not point.f1:
            point = replace(point, threshold=overall.threshold)
        classes[name] = point
    return overall, classes


def best_point(scores: np.ndarray, right: np.ndarray, objects: int) -> OperatingPoint:
    """Return the threshold with the best F1, which is 2 right / (detections + objects).

    Whether a detection is right depends on none with a lower score, so that one
    matching serves all thresholds. Of equally good thresholds the highest is taken. It
    lies midway between the lowest score that counts and the highest that does not,
    where another device's rounding changes neither.

    Args:
        scores: Of all detections in all images.
        right: Whether each is matched with an object, bool.
        objects: How many there are.

    Shapes:
        scores, right: (n,).
    """
    order = np.argsort(-scores, kind='stable')
    scores, hits = scores[order].astype(float), np.cumsum(right[order])
    # Equal scores count together: a threshold lies before another score, or at the end.
    ends = np.flatnonzero(np.append(np.diff(scores), -1.0)[: len(scores)])
    if not objects or not len(ends) or not hits[-1]:
        return OperatingPoint(FALLBACK, 0.0, 0.0, 0.0, objects)
    f1 = 2 * hits[ends] / (ends + 1 + objects)
    best = int(f1.argmax())
    end = ends[best]
    below = scores[end + 1] if end + 1 < len(scores) else 0.0
    return OperatingPoint(
        threshold=float((scores[end] + below) / 2),
        f1=float(f1[best]),
        precision=float(hits[end] / (end + 1)),
        recall=float(hits[end] / objects),
        objects=objects,
    )
