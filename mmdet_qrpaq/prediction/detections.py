"""What a model has found on one image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Detections on one image.

    Attributes:
        boxes: Left, top, right, bottom in pixels of the image as it is shown.
        scores: In [0, 1].
        labels: Classes.
        masks: Compressed RLE of the image's size; `None` for a model without masks.

    Shapes:
        boxes: (n, 4); scores, labels: (n,).
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: list[dict] | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.scores)

    def over(self, thresholds: np.ndarray) -> 'Detections':
        """Return those whose score is at least the threshold of their class.

        Args:
            thresholds: By label, (classes,).
        """
        kept = np.flatnonzero(self.scores >= thresholds[self.labels])
        masks = None if self.masks is None else [self.masks[row] for row in kept]
        return Detections(self.boxes[kept], self.scores[kept], self.labels[kept], masks)
