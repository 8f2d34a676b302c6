"""What duplicates cost: AP after non-maximum suppression has removed them.

A DETR learns late to report an object once. Where NMS adds much AP, that is what the
model lacks, not finding objects.
"""

import copy
from collections.abc import Sequence

from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator

from ..one_pass import SeenBatch
from .average_precision import evaluate

NMS_IOU = 0.6


def suppress_duplicates(samples: Sequence[DetDataSample]) -> list[DetDataSample]:
    """Return the samples without detections that overlap a surer one of their class.

    Args:
        samples: With `pred_instances`; they stay as they are.
    """
    nms = dict(type='nms', iou_threshold=NMS_IOU)
    suppressed = []
    for sample in samples:
        found = sample.pred_instances
        sample = copy.copy(sample)
        if len(found):  # mmcv's NMS fails on an empty set
            _, keep = batched_nms(found.bboxes, found.scores, found.labels, nms)
            sample.pred_instances = found[keep]
        suppressed.append(sample)
    return suppressed


class NmsObserver:
    """Shows an evaluator what a detector finds, without the duplicates.

    Args:
        evaluator: See `build_evaluator`.
    """

    images = None

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._num_images = 0

    def see(self, batch: SeenBatch) -> None:
        """Take note of a batch."""
        self._evaluator.process(suppress_duplicates(batch.samples), batch.raw)
        self._num_images += len(batch.samples)

    def precision(self) -> float:
        """Return the AP of all that was seen.

        Raises:
            ConfigError: The evaluator gives no AP of boxes for these images.
        """
        return evaluate(self._evaluator, self._num_images)['ap']
