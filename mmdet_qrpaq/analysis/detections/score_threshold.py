"""The score from which on a detection is worth showing: where F1 is best.

Called by ``tools/analysis/side_by_side.py``. Scores depend on the loss: 0.5 may leave
out much of what a detector trained with a varifocal loss has found.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..trained_detector import TrainedModel
from .side_by_side import look_at_pictures

THRESHOLDS = [hundredth / 100 for hundredth in range(100)]


def best_score_threshold(
    scores: Tensor, correct: Tensor, num_objects: int
) -> tuple[float, float]:
    """Return the threshold, in hundredths, with the best F1, and that F1.

    F1 is 2 correct / (detections + objects). Whether a detection is correct depends on
    none with a lower score, so that one judgement serves all thresholds. Of equally
    good thresholds the highest is taken; where nothing is correct, 0.5.

    Args:
        scores: Of all detections in all pictures.
        correct: Whether each is paired with an object, bool.
        num_objects: Of all pictures.

    Shapes:
        scores, correct: (n,).
    """
    found = []
    for threshold in THRESHOLDS:
        counts = scores >= threshold
        total = int(counts.sum()) + num_objects
        found.append((2 * int((correct & counts).sum()) / max(total, 1), threshold))
    f1, threshold = max(found)
    return (threshold, f1) if f1 else (0.5, 0.0)


def find_score_threshold(
    models: Sequence[TrainedModel], iou_threshold: float = 0.5
) -> tuple[float, float]:
    """Run models over all their pictures; return their best threshold and its F1.

    Several models share one threshold: their detections are counted together.

    Args:
        models: As `look_at_pictures` takes them.
        iou_threshold: Of a correct detection, in [0, 1].

    Raises:
        ConfigError: See `look_at_pictures`.
    """
    scenes = look_at_pictures(
        models,
        num_pictures=1,
        score_threshold=0.0,
        iou_threshold=iou_threshold,
        select='differing',
    )
    outcomes = [outcome for scene in scenes for outcome in scene.outcomes]
    return best_score_threshold(
        torch.cat([outcome.found.scores for outcome in outcomes]),
        torch.cat([outcome.correct for outcome in outcomes]),
        sum(len(scene.truth) for scene in scenes) * len(models),
    )
