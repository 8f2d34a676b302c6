"""Gives DINO's head the denoising and the encoder's losses in one go.

Sits *above* the host's head. The encoder's proposals, as many as there are queries, are
judged by `BatchedLossesHead` as one more layer. `loss_dn` is stood in for; its targets
are the host's, made once: they do not depend on the layer.
"""

import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.models.utils import multi_apply
from mmengine.structures import InstanceData
from torch import Tensor

from ..temporary_attribute import temporary_attribute
from .ground_truth import box_scale
from .losses import Targets, losses_of_layers


class BatchedDINOLossesMixin(DINOHead):
    """Judges the denoising queries of all decoder layers at once, and the encoder."""

    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        enc_cls_scores: Tensor,
        enc_bbox_preds: Tensor,
        *args,
        **kwargs,
    ) -> dict[str, Tensor]:
        """Return the host's; the encoder's proposals are one more layer of queries."""
        predictions = (all_layers_cls_scores, all_layers_bbox_preds)
        encoder = (enc_cls_scores, enc_bbox_preds)
        if not self.batches_losses or enc_cls_scores is None:
            return super().loss_by_feat(*predictions, *encoder, *args, **kwargs)
        with temporary_attribute(self, 'encoder_predictions', encoder):
            return super().loss_by_feat(*predictions, None, None, *args, **kwargs)

    def loss_dn(
        self,
        all_layers_denoising_cls_scores: Tensor,
        all_layers_denoising_bbox_preds: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        dn_meta: dict[str, int],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses of class, box and IoU of each layer, (num_layers,) each."""
        scores, boxes = all_layers_denoising_cls_scores, all_layers_denoising_bbox_preds
        if 'objects' in dn_meta:  # not all of them are denoised
            batch_gt_instances = [
                objects_at(*pair)
                for pair in zip(batch_gt_instances, dn_meta['objects'], strict=True)
            ]
        objects = (batch_gt_instances, batch_img_metas)
        if not self.batches_losses:
            return super().loss_dn(scores, boxes, *objects, dn_meta)
        num_layers, bs, nq = scores.shape[:3]
        labels, weights, targets, _, positive, _ = multi_apply(
            self._get_dn_targets_single, *objects, dn_meta=dn_meta
        )
        first = torch.cat([nq * i + query for i, query in enumerate(positive)])
        layers = torch.arange(num_layers, device=first.device)
        targets = Targets(
            query=(bs * nq * layers[:, None] + first).flatten(),
            labels=torch.cat(labels)[first].repeat(num_layers),
            boxes=torch.cat(targets)[first].repeat(num_layers, 1),
            scale=box_scale(batch_img_metas).to(boxes.device),
            weights=torch.cat(weights).repeat(num_layers),
        )
        return losses_of_layers(self, scores, boxes, targets)


def objects_at(gt_instances: InstanceData, index: Tensor | slice) -> InstanceData:
    """Return boxes and labels of some objects of an image; `index` is on the host."""
    boxes, labels = gt_instances.bboxes, gt_instances.labels
    if isinstance(index, Tensor):
        index = index.to(labels.device)
    return InstanceData(bboxes=boxes[index], labels=labels[index])
