"""The score from which on a detection is worth showing: where F1 is best.

Scores depend on the loss: 0.5 may leave out much of what a detector trained with a
varifocal loss has found.
"""

from torch import Tensor

THRESHOLDS = [hundredth / 100 for hundredth in range(100)]


def best_score_threshold(
    scores: Tensor, correct: Tensor, num_objects: int
) -> tuple[float, float]:
    """Return the threshold, in hundredths, with the best F1, and that F1.

    F1 is 2 correct / (detections + objects). Whether a detection is correct depends on
    none with a lower score, so that one judgement serves all thresholds. Of equally
    good thresholds the highest is taken; where nothing is correct, 0.5.

    Args:
        scores: Of all detections in all images.
        correct: Whether each is paired with an object, bool.
        num_objects: Of all images.

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
