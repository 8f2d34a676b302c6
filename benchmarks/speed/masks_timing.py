"""Time and memory of a mask branch against the box-only detector.

Called by `masks.py`, which has the protocol.
"""

from functools import partial

import torch
from mmdet.models import DetectionTransformer
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import InstanceData
from rich.progress import track
from torch import Tensor

from mmdet_qrpaq.analysis.cost.timing import (
    interleave,
    peak_memory,
    stopwatch,
    summary,
)
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.building import build_untrained

WARM_UP = 1


def build_pair(
    cfg: Config, device: str
) -> tuple[DetectionTransformer, DetectionTransformer]:
    """Return box-only and with masks, with the same weights.

    Raises:
        ConfigError: If the config has no mask branch.
    """
    if cfg.model.get('mask_branch') is None:
        raise ConfigError(f'{cfg.filename} has no model.mask_branch: take a leaf with.')
    with_masks = build_untrained(cfg)
    cfg.model.mask_branch = None
    indices = cfg.model.backbone.out_indices
    cfg.model.backbone.out_indices = indices[-len(cfg.model.neck.in_channels) :]
    boxes = build_untrained(cfg)
    missing, extra = boxes.load_state_dict(with_masks.state_dict(), strict=False)
    assert not missing and all(key.startswith('mask_branch.') for key in extra)
    return tuple(
        revert_sync_batchnorm(detector).to(device).eval()
        for detector in (boxes, with_masks)
    )


def predict(detector: DetectionTransformer, inputs: Tensor) -> list[DetDataSample]:
    """Return detections of images (bs, 3, h, w) without padding, at their size."""
    shape = tuple(inputs.shape[-2:])
    meta = dict(img_shape=shape, batch_input_shape=shape, ori_shape=shape)
    samples = [DetDataSample(metainfo=meta) for _ in inputs]
    return detector.predict(inputs, samples, rescale=False)


def check_equal(
    boxes: DetectionTransformer, with_masks: DetectionTransformer, inputs: Tensor
) -> int:
    """Return masks per image, if the branch changes no box.

    Raises:
        RuntimeError: If it does.
    """
    plain, masked = (predict(detector, inputs) for detector in (boxes, with_masks))
    for one, other in zip(plain, masked, strict=True):
        if not torch.equal(one.pred_instances.bboxes, other.pred_instances.bboxes):
            raise RuntimeError('the mask branch changes the boxes: nothing was timed.')
    return len(masked[0].pred_instances.masks)


@torch.inference_mode()
def measure(
    boxes: DetectionTransformer,
    with_masks: DetectionTransformer,
    inputs: Tensor,
    repeats: int,
) -> dict:
    """Return seconds of both, and their ratio."""
    num_masks = check_equal(boxes, with_masks, inputs)
    turns = dict(boxes=boxes, masks=with_masks)
    seconds = {turn: [] for turn in turns}
    orders = interleave(list(turns), WARM_UP + repeats)
    for repeat, order in enumerate(track(list(orders), f'batch {len(inputs)}')):
        for turn in order:
            spent, _ = stopwatch(predict, turns[turn], inputs)
            if repeat >= WARM_UP:
                seconds[turn].append(spent)
    ratios = [m / b for m, b in zip(seconds['masks'], seconds['boxes'], strict=True)]
    return dict(
        batch=len(inputs),
        masks_per_picture=num_masks,
        boxes_seconds=summary(seconds['boxes']),
        masks_seconds=summary(seconds['masks']),
        ratio=summary(ratios),
    )


def make_objects(count: int, height: int, width: int, num_classes: int) -> InstanceData:
    """Return random rectangles that fill their boxes."""
    draw = torch.rand(count, 2, 2).sort(1).values.flatten(1)
    boxes = (draw * torch.tensor([width - 2, height - 2] * 2)).floor()
    boxes[:, 2:] += 1
    masks = torch.zeros(count, height, width, dtype=torch.uint8).numpy()
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    return InstanceData(
        bboxes=boxes,
        labels=torch.randint(num_classes, (count,)),
        masks=BitmapMasks(masks, height, width),
    )


def training_memory(
    detectors: dict[str, DetectionTransformer], inputs: Tensor, count: int
) -> dict:
    """Return bytes of a training step with so many objects, by name of a detector."""
    height, width = inputs.shape[-2:]
    shape = (height, width)
    meta = dict(img_shape=shape, batch_input_shape=shape, ori_shape=shape)
    classes = next(iter(detectors.values())).bbox_head.num_classes
    objects = make_objects(count, height, width, classes).to(inputs.device)

    def step(detector: DetectionTransformer) -> None:
        losses = detector.loss(
            inputs, [DetDataSample(metainfo=meta, gt_instances=objects)]
        )
        total, _ = detector.parse_losses(losses)
        total.backward()
        detector.zero_grad()

    found = dict(objects=count)
    for name, detector in detectors.items():
        detector.train()
        step(detector)  # buffers that are made once
        found[f'{name}_bytes'] = peak_memory(partial(step, detector), inputs.device)
        detector.eval()
    return found
