"""Gives a DETR head of mmdet the losses of all its layers in one go.

Sits *below* the host's head, just above `DETRHead`, and under the heads of the other
rooms: hosts call `loss_by_feat` for the decoder's layers and `loss_by_feat_single` for
the encoder's proposals, and name what comes back themselves.
"""

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import DETRHead
from torch import Tensor

from ..errors import ConfigError
from .costs import are_known, matching_costs
from .ground_truth import GroundTruth, pad_ground_truth
from .hungarian import Matches, ask_image_by_image, solve
from .losses import Targets, are_elementwise, losses_of_layers

KEYS = ('loss_cls', 'loss_bbox', 'loss_iou')
# Costs computed at once; what is in between takes some ten times as much.
MOST = 2**22


class BatchedLossesHead(DETRHead):
    """Matches and judges all decoder layers and images of a batch at once.

    Args:
        batched_losses: False leaves both to mmdet, layer by layer and image by image.
            So does a loss whose elements mmdet does not name. An assigner other than
            mmdet's Hungarian one, or a cost not in `costs.py`, is still asked image by
            image; losses are not.

    Attributes:
        supervised_queries: (num_layers, bs, nq) bool while the losses of a batch are
            computed, False = the query of that layer is no prediction: it is not
            matched and learns nothing. None = all are.
        encoder_predictions: Logits and boxes of as many proposals as there are queries,
            (bs, nq, ...), judged as one more layer, or None.

    Both attributes are set for the length of a call, by `temporary_attribute`.
    """

    supervised_queries: Tensor | None = None
    encoder_predictions: tuple[Tensor, Tensor] | None = None

    def __init__(self, *args, batched_losses: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.batched_losses = batched_losses

    @property
    def batches_losses(self) -> bool:
        """Whether it does, with the losses that it has."""
        return (
            self.batched_losses
            and not self.bg_cls_weight
            and are_elementwise(self.loss_cls, self.loss_bbox, self.loss_iou)
        )

    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: None = None,
    ) -> dict[str, Tensor]:
        """Return the Hungarian losses of all decoder layers, under mmdet's keys.

        Raises:
            ConfigError: If queries are to be left out of losses that are mmdet's own.

        Shapes:
            all_layers_cls_scores: (num_layers, bs, nq, num_classes [+ 1]) logits
            all_layers_bbox_preds: (num_layers, bs, nq, 4) as (cx, cy, w, h), normalised
        """
        predictions = (all_layers_cls_scores, all_layers_bbox_preds)
        objects = (batch_gt_instances, batch_img_metas)
        supervised = self.supervised_queries
        if not self.batches_losses:
            if supervised is not None:
                raise ConfigError(
                    'Some queries are no predictions, and the losses of mmdet cannot '
                    'leave them out: set bbox_head.batched_losses=True, with losses '
                    'that matching/losses.py names.'
                )
            return super().loss_by_feat(
                *predictions, *objects, batch_gt_instances_ignore
            )
        prefixes = [*(f'd{i}.' for i in range(len(predictions[0]) - 1)), '']
        if self.encoder_predictions is not None:
            prefixes.append('enc_')
            predictions = [
                torch.cat((layers, last[None]))
                for layers, last in zip(
                    predictions, self.encoder_predictions, strict=True
                )
            ]
            if supervised is not None:
                supervised = F.pad(supervised, (0, 0, 0, 0, 0, 1), value=True)
        losses = self.hungarian_losses(*predictions, *objects, supervised)
        rows = dict(zip(prefixes, zip(*losses, strict=True), strict=True))
        rows = {'': rows.pop('')} | rows  # mmdet's last layer comes first
        return {
            prefix + key: loss
            for prefix, row in rows.items()
            for key, loss in zip(KEYS, row, strict=True)
        }

    def loss_by_feat_single(
        self,
        cls_scores: Tensor,
        bbox_preds: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses of one layer."""
        objects = (batch_gt_instances, batch_img_metas)
        if not self.batches_losses:
            return super().loss_by_feat_single(cls_scores, bbox_preds, *objects)
        losses = self.hungarian_losses(cls_scores[None], bbox_preds[None], *objects)
        return tuple(loss.squeeze(0) for loss in losses)

    def hungarian_losses(
        self,
        cls_scores: Tensor,
        bbox_preds: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        supervised: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses of class, box and IoU of each layer, (num_layers,) each."""
        truth = pad_ground_truth(batch_gt_instances, batch_img_metas)
        matches = self.match(cls_scores, bbox_preds, truth, supervised)
        targets = Targets.of_matches(matches, truth, supervised)
        return losses_of_layers(self, cls_scores, bbox_preds, targets)

    def match(
        self,
        cls_scores: Tensor,
        bbox_preds: Tensor,
        truth: GroundTruth,
        supervised: Tensor | None = None,
    ) -> Matches:
        """Match all layers and images by the costs in `train_cfg.assigner`."""
        return match_layers(self.assigner, cls_scores, bbox_preds, truth, supervised)


def match_layers(
    assigner: object,
    cls_scores: Tensor,
    bbox_preds: Tensor,
    truth: GroundTruth,
    supervised: Tensor | None = None,
) -> Matches:
    """Match all layers and images by the costs of an assigner of mmdet."""
    scores, boxes = cls_scores.detach(), bbox_preds.detach()
    if not are_known(assigner):
        return ask_image_by_image(assigner, scores, boxes, truth, supervised)
    # All layers at once, unless there are so many objects that memory minds.
    size = truth.valid.numel() * scores.shape[2]
    parts = zip(*(x.split(max(1, MOST // size)) for x in (scores, boxes)), strict=True)
    costs = [matching_costs(assigner.match_costs, *part, truth) for part in parts]
    return solve(torch.cat(costs), truth, supervised)


def hungarian_losses(head: DETRHead, *inputs) -> dict[str, Tensor]:
    """Return `DETRHead`'s own losses of each layer, nothing that a host adds to them.

    Args:
        inputs: As `DETRHead.loss_by_feat`.
    """
    batched = isinstance(head, BatchedLossesHead)
    return (BatchedLossesHead if batched else DETRHead).loss_by_feat(head, *inputs)
