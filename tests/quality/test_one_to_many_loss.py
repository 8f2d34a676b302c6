"""L_1:m of a layer against a loop over queries (PaQ-DETR Eq. 3, varifocal targets)."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from torch import Tensor

from mmdet_qrpaq.quality import QualityAwareDETRHead
from reference.quality_assignment import assign_one_image, box_iou
from tiny_hosts import METHODS, NUM_CLASSES, build, host_config, make_batch

# mmdet's varifocal weight of negatives; DINO's loss coefficients 1, 5, 2.
ALPHA = 0.75


def naive_layer_loss(
    cls_scores: Tensor, bbox_preds: Tensor, gts: list, shape: tuple[int, int], **rule
) -> tuple[list[float], int]:
    """Summed (classification, L1, GIoU) losses of one layer, number of positives."""
    scale = torch.tensor([shape[1], shape[0]] * 2)
    sums, num_pos = [0.0, 0.0, 0.0], 0
    for logits, boxes, objects in zip(cls_scores, bbox_preds, gts, strict=True):
        corners = objects.bboxes / scale
        center = (corners[:, :2] + corners[:, 2:]) / 2
        gt_boxes = torch.cat([center, corners[:, 2:] - corners[:, :2]], -1)
        owner = assign_one_image(
            logits.sigmoid(), boxes, gt_boxes, objects.labels, **rule
        )
        for query, j in enumerate(owner):
            target = torch.zeros(NUM_CLASSES)
            if j >= 0:
                num_pos += 1
                target[objects.labels[j]] = box_iou(
                    boxes[query].tolist(), gt_boxes[j].tolist()
                )
                sums[1] += 5 * (boxes[query] - gt_boxes[j]).abs().sum().item()
                pair = torch.stack([boxes[query], gt_boxes[j]])[:, None]
                pair = bbox_cxcywh_to_xyxy(pair)
                sums[2] += 2 * (1 - bbox_overlaps(*pair, mode='giou').item())
            prob = logits[query].sigmoid()
            weight = torch.where(target > 0, target, ALPHA * prob**2)
            entropy = F.binary_cross_entropy(prob, target, reduction='none')
            sums[0] += (entropy * weight).sum().item()
    return sums, num_pos


@pytest.mark.parametrize('objects', [[3, 2], [4, 0], [0, 0], [9, 1]], ids=str)
@pytest.mark.parametrize('normalizer', ['num_pos', 'num_gt'])
def test_intermediate_layers_get_the_loss_of_the_loop(objects, normalizer):
    options = METHODS['q']
    quality = dict(options['quality'], normalizer=normalizer)
    head = build(host_config('dino', **dict(options, quality=quality))).bbox_head
    draw = torch.Generator().manual_seed(sum(objects))
    cls_scores = torch.randn(3, 2, 12, NUM_CLASSES, generator=draw)
    bbox_preds = torch.rand(3, 2, 12, 4, generator=draw) * 0.3 + 0.2
    samples = make_batch(objects)['data_samples']
    gts = [sample.gt_instances for sample in samples]
    metas = [sample.metainfo for sample in samples]

    losses = QualityAwareDETRHead.loss_by_feat(head, cls_scores, bbox_preds, gts, metas)

    for layer in (0, 1):
        sums, num_pos = naive_layer_loss(
            cls_scores[layer], bbox_preds[layer], gts, metas[0]['img_shape']
        )
        count = max(num_pos if normalizer == 'num_pos' else sum(objects), 1)
        found = [
            losses[f'd{layer}.loss_{name}_o2m'].item()
            for name in ('cls', 'bbox', 'iou')
        ]
        assert found == pytest.approx([value / count for value in sums], rel=1e-5)
    # The last layer stays one-to-one.
    assert not any('o2m' in key for key in losses if not key.startswith(('d0', 'd1')))
