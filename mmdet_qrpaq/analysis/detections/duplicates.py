"""What duplicates cost: AP once non-maximum suppression has taken them away.

A DETR learns late to report an object once. Where NMS adds much AP, that is what the
model lacks, not finding objects.
"""

import copy
from collections.abc import Sequence

import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from torch import nn
from torch.utils.data import DataLoader

from .average_precision import Precision, build_evaluator, evaluate

NMS_IOU = 0.6


def suppress_duplicates(
    samples: Sequence[DetDataSample], iou_threshold: float = NMS_IOU
) -> list[DetDataSample]:
    """Return the samples without detections that overlap a surer one of their class.

    Args:
        samples: With `pred_instances`; they stay as they are.
        iou_threshold: From which on a detection goes.
    """
    nms = dict(type='nms', iou_threshold=iou_threshold)
    suppressed = []
    for sample in samples:
        found = sample.pred_instances
        sample = copy.copy(sample)
        if len(found):  # mmcv cannot do nothing
            _, keep = batched_nms(found.bboxes, found.scores, found.labels, nms)
            sample.pred_instances = found[keep]
        suppressed.append(sample)
    return suppressed


@torch.no_grad()
def precision_with_nms(
    detector: nn.Module, dataloader: DataLoader, settings: dict | list[dict]
) -> Precision:
    """Return a detector's AP with duplicates suppressed.

    Args:
        detector: In eval mode.
        settings: A config's `val_evaluator` or `test_evaluator`.

    Raises:
        ConfigError: The evaluator gives no AP of boxes for these pictures.
    """
    evaluator = build_evaluator(settings, dataloader)
    for batch in dataloader:
        evaluator.process(suppress_duplicates(detector.test_step(batch)), batch)
    return evaluate(evaluator, len(dataloader.dataset))
