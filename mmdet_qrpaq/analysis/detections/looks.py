"""What is in the images and what a model finds there, as it runs over them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from ..one_pass import SeenBatch
from ..trained_detector import TrainedModel, box_scale, boxes_follow_resize


@dataclass
class Look:
    """What is in an image, and what a model finds there; on the CPU.

    Boxes are (x1, y1, x2, y2) in pixels of the file.

    Attributes:
        file: Path of the image.
        truth: Objects, `bboxes` and `labels`.
        crowds: Regions with objects that nobody counted, the same.
        found: Detections, `bboxes`, `labels` and `scores`.
    """

    file: str
    truth: InstanceData
    crowds: InstanceData
    found: InstanceData


@dataclass
class DetectionsObserver:
    """Keeps what is found, and what is there, in the images that it wants.

    Attributes:
        model: Who finds it.
        images: Positions in the data set; None for all.
        chosen: The options, `select` as it suits the number of models.
        masks: Whether to keep masks: those of many images would fill the memory.
        looks: By position.
        has_masks: Whether there are any.
    """

    model: TrainedModel
    images: Sequence[int] | None
    chosen: dict[str, Any] = field(default_factory=dict)
    masks: bool = False
    looks: dict[int, Look] = field(default_factory=dict)
    has_masks: bool = False

    def see(self, batch: SeenBatch) -> None:
        """Take note of a batch."""
        for image, sample in zip(batch.images, batch.samples, strict=True):
            if self.images is None or image in self.images:
                self.looks[image] = self._look(sample)

    def _look(self, sample: DetDataSample) -> Look:
        keys = ('bboxes', 'labels', 'scores') + ('masks',) * self.masks
        found, truth = sample.pred_instances, sample.gt_instances
        self.has_masks |= 'masks' in found or 'masks' in truth
        found, truth, crowds = (
            InstanceData(**{k: part[k] for k in keys if k in part}).cpu()
            for part in (found, truth, sample.get('ignored_instances', truth[:0]))
        )
        if boxes_follow_resize(self.model.dataloader.dataset):
            for objects in (truth, crowds):
                objects.bboxes = objects.bboxes / box_scale(sample, objects.bboxes)
        return Look(sample.img_path, truth, crowds, found)
