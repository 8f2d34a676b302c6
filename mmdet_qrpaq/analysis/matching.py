"""Which query finds which object, by the head's own one-to-one assignment."""

from dataclasses import dataclass

import torch
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..errors import ConfigError
from .trained_detector import box_scale


@dataclass
class MatchedBatch:
    """Predictions of the last decoder layer for a batch, and the objects they match.

    Boxes are (x1, y1, x2, y2) in pixels of the images that the network sees. An
    image's objects are padded to the longest of the batch; an unmatched query has
    the values of object 0 (or of padding), which `matched` masks.

    Attributes:
        scores: Probability of each class; under softmax the last is 'no object'.
        boxes: Of the queries.
        matched: Whether a query was given an object.
        labels: Class of a query's object.
        truth: Box of a query's object.
        truth_in_file: The same in pixels of the stored image.
        num_objects: Objects in the batch.

    Shapes:
        scores: (bs, nq, num_classes [+ 1]); boxes, truth, truth_in_file: (bs, nq, 4);
        matched, labels: (bs, nq).
    """

    scores: Tensor
    boxes: Tensor
    matched: Tensor
    labels: Tensor
    truth: Tensor
    truth_in_file: Tensor
    num_objects: int


def require_matching(detector: nn.Module, doing: str) -> None:
    """Refuse a detector whose queries cannot be given objects.

    Args:
        doing: What needs it.

    Raises:
        ConfigError: It is no DETR, was built without its `train_cfg` (which holds the
            assigner), or does not keep its queries in order.
    """
    require_places(detector)
    head = getattr(detector, 'bbox_head', None)
    if not hasattr(detector, 'forward_transformer') or not hasattr(head, 'assigner'):
        raise ConfigError(
            f'{doing} needs a DETR with a one-to-one assigner, and '
            f'{type(detector).__name__} has none; keep train_cfg in the model config.'
        )


def keeps_places(detector: nn.Module) -> bool:
    """Tell whether a query has the same place in all layers of a decoder."""
    return all(
        layer.settings.regroup != 'concat'
        for layer in getattr(detector, 'routed_layers', [])
    )


def require_places(detector: nn.Module) -> None:
    """Refuse a detector whose queries cannot be told by their places.

    Raises:
        ConfigError: Its routing puts them together in another order.
    """
    if not keeps_places(detector):
        raise ConfigError(
            "query_routing.regroup='concat' gives queries other places layer by layer, "
            "so that none can be followed; set it to 'scatter'."
        )


def match(
    head: nn.Module, logits: Tensor, boxes: Tensor, samples: SampleList, resized: bool
) -> MatchedBatch:
    """Match the queries of a batch with its objects.

    The assigner, upstream's, waits for the device once an image; nothing else does.

    Args:
        head: Has `assigner` and `loss_cls`.
        logits: Last layer's class logits, (bs, nq, num_classes [+ 1]).
        boxes: Last layer's boxes, (cx, cy, w, h) in [0, 1] of the resized image,
            (bs, nq, 4).
        samples: Have `gt_instances`, `img_shape` and perhaps `scale_factor`.
        resized: Whether the boxes of `gt_instances` follow the resizing.
    """
    sizes = [sample.metainfo['img_shape'][:2][::-1] * 2 for sample in samples]
    pixels = bbox_cxcywh_to_xyxy(boxes) * boxes.new_tensor(sizes)[:, None]
    scales = torch.stack([box_scale(sample, boxes) for sample in samples])
    truths = [sample.gt_instances.bboxes.to(boxes) for sample in samples]
    if not resized:
        truths = [truth * scale for truth, scale in zip(truths, scales, strict=True)]
    given = [
        head.assigner.assign(
            pred_instances=InstanceData(scores=logits[i], bboxes=pixels[i]),
            gt_instances=InstanceData(bboxes=truth, labels=sample.gt_instances.labels),
            img_meta=sample.metainfo,
        ).gt_inds
        for i, (truth, sample) in enumerate(zip(truths, samples, strict=True))
    ]
    given = torch.stack(given)
    # One more, so that a batch without any object has something to point at.
    padded = pad_sequence([_with_none(truth) for truth in truths], batch_first=True)
    labels = [_with_none(sample.gt_instances.labels) for sample in samples]
    labels = pad_sequence(labels, batch_first=True)
    objects = (given - 1).clamp(min=0)
    truth = padded.gather(1, objects[..., None].expand(-1, -1, 4))
    return MatchedBatch(
        scores=class_scores(head, logits),
        boxes=pixels,
        matched=given > 0,
        labels=labels.gather(1, objects),
        truth=truth,
        truth_in_file=truth / scales[:, None],
        num_objects=sum(map(len, truths)),
    )


def class_scores(head: nn.Module, logits: Tensor) -> Tensor:
    """Return probabilities; under softmax the last class is 'no object'."""
    use_sigmoid = getattr(head.loss_cls, 'use_sigmoid', False)
    return logits.sigmoid() if use_sigmoid else logits.softmax(-1)


def _with_none(values: Tensor) -> Tensor:
    """Append one entry of zeros."""
    return torch.cat([values, values.new_zeros(1, *values.shape[1:])])


def confident_and_correct(
    batch: MatchedBatch, score_threshold: float, iou_threshold: float
) -> Tensor:
    """Return which queries find their object, are sure and are right: (bs, nq)."""
    # Under softmax the last class is 'no object': the best may be that.
    score, label = batch.scores.max(-1)
    iou = bbox_overlaps(batch.boxes, batch.truth, is_aligned=True)
    good = batch.matched & (label == batch.labels)
    return good & (score >= score_threshold) & (iou >= iou_threshold)
