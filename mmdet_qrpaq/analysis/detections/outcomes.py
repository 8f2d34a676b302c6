"""What became of each detection: correct or wrong, and shared by the models or not.

A detection is *correct* if it is paired with an object of its class, at an IoU of at
least the threshold; pairs are made as COCO makes them: the detection with the highest
score chooses first, and takes the free object with the highest IoU. One without an
object that lies in a crowd of its class is left out. It *differs* if another model has
no detection of its class, correct or not, with at least that IoU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor


@dataclass
class Outcome:
    """What became of a model's detections in one image.

    Attributes:
        found: Detections, `bboxes` (x1, y1, x2, y2), `labels`, `scores`; best first.
        correct: Whether each is paired with an object, bool.
        missed: Whether each object of the image is paired with none, bool.
        differs: Whether another model lacks each detection, bool.
    """

    found: InstanceData
    correct: Tensor
    missed: Tensor
    differs: Tensor

    def numbers(self) -> dict[str, int]:
        """Return the counts of all."""
        return dict(
            correct=int(self.correct.sum()),
            wrong=int((~self.correct).sum()),
            missed=int(self.missed.sum()),
            differing=int(self.differs.sum()),
        )


@dataclass(eq=False)
class Scene:
    """One image: what is in it, and what each model makes of it.

    Attributes:
        file: Path of the image.
        truth: Objects, `bboxes` (x1, y1, x2, y2; pixels of the file) and `labels`.
        outcomes: One a model, in the same pixels.
    """

    file: str
    truth: InstanceData
    outcomes: list[Outcome]

    @property
    def counts(self) -> list[dict[str, int]]:
        """What became of each model's detections."""
        return [outcome.numbers() for outcome in self.outcomes]

    @property
    def disagreement(self) -> int:
        """How interesting it is: differing detections, or one model's mistakes."""
        if len(self.outcomes) > 1:
            return sum(counts['differing'] for counts in self.counts)
        return self.counts[0]['wrong'] + self.counts[0]['missed']


def judge_detections(
    truth: InstanceData,
    founds: Sequence[InstanceData],
    iou_threshold: float,
    crowds: InstanceData | None = None,
) -> list[Outcome]:
    """Judge the detections of several models in one image.

    Args:
        truth: Objects, `bboxes` and `labels`.
        founds: For each model its detections, `bboxes`, `labels`, `scores`.
        iou_threshold: In [0, 1].
        crowds: Regions with objects that nobody counted, `bboxes` and `labels`.
    """
    founds = [found[found.scores.argsort(descending=True)] for found in founds]
    pairs = []
    for number, found in enumerate(founds):
        correct, missed = _pair(found, truth, iou_threshold)
        counts = torch.ones_like(correct)
        if crowds is not None and len(crowds):
            shares = _ious(found, crowds, mode='iof')
            counts = correct | ~(shares >= iou_threshold).any(1)
        founds[number] = found[counts]
        pairs.append((correct[counts], missed))
    outcomes = []
    for found, (correct, missed) in zip(founds, pairs, strict=True):
        differs = torch.zeros_like(correct)
        for other in founds:
            if other is not found:
                shared = _ious(found, other) >= iou_threshold
                differs |= ~shared.any(1)
        outcomes.append(Outcome(found, correct, missed, differs))
    return outcomes


def _pair(
    found: InstanceData, truth: InstanceData, iou_threshold: float
) -> tuple[Tensor, Tensor]:
    """Return which detections (best first) are correct, which objects are missed."""
    correct = torch.zeros(len(found), dtype=torch.bool)
    free = torch.ones(len(truth), dtype=torch.bool)
    if len(truth):
        for n, ious in enumerate(_ious(found, truth)):
            iou, best = torch.where(free, ious, -1.0).max(0)
            if iou >= iou_threshold:
                correct[n], free[best] = True, False
    return correct, free


def _ious(one: InstanceData, other: InstanceData, mode: str = 'iou') -> Tensor:
    """Return the IoUs of two sets of boxes; -1 between classes."""
    ious = bbox_overlaps(one.bboxes, other.bboxes, mode=mode)
    return torch.where(one.labels[:, None] == other.labels, ious, -1.0)
