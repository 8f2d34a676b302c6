"""Adds one-to-many supervision to the heads of mmdet's DETRs (PaQ-DETR Sec. 3.3-3.4).

Sits *below* the host's head, just above `DETRHead`, where it sees the decoder layers of
the matching queries: neither encoder proposals nor denoising queries.
"""

import math

import torch
from mmdet.models.losses import QualityFocalLoss
from mmdet.registry import MODELS, TASK_UTILS
from torch import Tensor

from ..errors import ConfigError
from ..matching import (
    BatchedLossesHead,
    Matches,
    Targets,
    are_elementwise,
    losses_of_layers,
    pad_ground_truth,
)
from .settings import QualitySettings


class QualityAwareDETRHead(BatchedLossesHead):
    """Adds L_1:m to the intermediate layers (Eq. 9).

    Args:
        quality: See `QualitySettings`; None leaves the head as it is.

    Raises:
        ConfigError: If a setting is not one of these.
    """

    def __init__(self, *args, quality: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.quality = None
        if quality is None:
            return
        # Heads of the deformable family know how many layers they serve.
        num_layers = getattr(self, 'num_pred_layer', math.inf)
        num_layers -= getattr(self, 'as_two_stage', False)
        self.quality = QualitySettings.from_config(quality, num_layers)
        assigner = dict(type='QualityAwareAssigner') | self.quality.assigner
        self.quality_assigner = TASK_UTILS.build(assigner)
        if not hasattr(self.quality_assigner, 'assign_batch'):
            raise ConfigError(
                f'bbox_head.quality.assigner is a {assigner["type"]}, which assigns '
                'one object to one query; use a QualityAwareAssigner (the one-to-one '
                'assigner is set in train_cfg.assigner).'
            )
        self.quality_loss_cls = self.loss_cls
        if self.quality.loss_cls is not None:
            self.quality_loss_cls = MODELS.build(self.quality.loss_cls)
            sigmoid = self.quality_loss_cls.use_sigmoid
            if sigmoid != self.loss_cls.use_sigmoid:
                raise ConfigError(
                    f'bbox_head.quality.loss_cls has use_sigmoid={sigmoid} and '
                    f'bbox_head.loss_cls {not sigmoid}; both read the same logits, so '
                    'set them alike.'
                )
        losses = (self.quality_loss_cls, self.loss_bbox, self.loss_iou)
        if unknown := [loss for loss in losses if not are_elementwise(loss)]:
            raise ConfigError(
                'bbox_head.quality takes the mean of a loss element by element, and '
                f'{type(unknown[0]).__name__} is not known to allow it: use one that '
                'matching/losses.py names, or say `elementwise = True` in its class.'
            )

    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
    ) -> dict[str, Tensor]:
        """Return Hungarian losses and L_1:m, each of its layers.

        Shapes:
            all_layers_cls_scores: (num_layers, bs, nq, num_classes) logits
            all_layers_bbox_preds: (num_layers, bs, nq, 4) as (cx, cy, w, h),
                normalised to [0, 1]
        """
        losses = super().loss_by_feat(
            all_layers_cls_scores,
            all_layers_bbox_preds,
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore,
        )
        if self.quality is None:
            return losses
        layers = self.quality.chosen_layers(len(all_layers_cls_scores))
        if not layers:
            return losses
        if self.quality.hungarian == 'replaces':
            for i in layers:
                for name in ('cls', 'bbox', 'iou'):
                    del losses[f'd{i}.loss_{name}']
        cls_scores = torch.stack([all_layers_cls_scores[i] for i in layers])
        bbox_preds = torch.stack([all_layers_bbox_preds[i] for i in layers])
        targets, num_pos = self.get_one_to_many_targets(
            cls_scores, bbox_preds, batch_gt_instances, batch_img_metas
        )
        one_to_many = losses_of_layers(
            self, cls_scores, bbox_preds, targets, self.quality_loss_cls, num_pos
        )
        for i, *row in zip(layers, *one_to_many, strict=True):
            for name, loss in zip(('cls', 'bbox', 'iou'), row, strict=True):
                losses[f'd{i}.loss_{name}_o2m'] = loss
        return losses

    def loss_by_feat_single(
        self, cls_scores: Tensor, bbox_preds: Tensor, *args, **kwargs
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the host's; boxes are in single precision if IoUs are class targets.

        Targets have the precision of the boxes, and autocast's half does not fit the
        tensor that the host puts them into when there is none.
        """
        if isinstance(self.loss_cls, QualityFocalLoss):
            bbox_preds = bbox_preds.float()
        return super().loss_by_feat_single(cls_scores, bbox_preds, *args, **kwargs)

    @torch.no_grad()
    def get_one_to_many_targets(
        self,
        cls_scores: Tensor,
        bbox_preds: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
    ) -> tuple[Targets, Tensor | None]:
        """Assign all layers and images in one go.

        Shapes:
            cls_scores: (num_layers, bs, nq, num_classes or + 1) logits
            bbox_preds: (num_layers, bs, nq, 4) as (cx, cy, w, h), normalised
            returns: targets; (num_layers,) divisor of each layer's losses, None = its
                positives
        """
        num_layers, bs = cls_scores.shape[:2]
        truth = pad_ground_truth(batch_gt_instances, batch_img_metas)
        scores = cls_scores.float()
        if self.loss_cls.use_sigmoid:
            probs = scores.sigmoid()
        else:
            probs = scores.softmax(-1)[..., :-1]
        # Layer after layer along the batch, each with the same objects.
        assigned = self.quality_assigner.assign_batch(
            probs.flatten(0, 1),
            bbox_preds.flatten(0, 1),
            *(
                item.repeat(num_layers, *(1 for _ in item.shape[1:]))
                for item in (truth.boxes, truth.labels, truth.valid)
            ),
        ).unflatten(0, (num_layers, bs))
        matches = Matches.of_assigned(assigned, truth.labels.shape[1])
        num_pos = None
        if self.quality.normalizer == 'num_gt':
            num_pos = truth.valid.sum().expand(num_layers)
        return Targets.of_matches(matches, truth), num_pos
