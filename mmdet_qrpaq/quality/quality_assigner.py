"""Quality-aware one-to-many assignment (PaQ-DETR Sec. 3.3, Eq. 6-7).

Called by `QualityAwareDETRHead` with all images and decoder layers at once. The naive
version, image by image, is in `tests/reference/`.
"""

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import (
    bbox_cxcywh_to_xyxy,
    bbox_xyxy_to_cxcywh,
)
from mmengine.structures import InstanceData
from torch import Tensor

from ..errors import check_choice, check_number
from ..matching.pairwise import pairwise_iou
from .conflicts import best_bidder, serve_all

# Rank of a prediction whose quality is NaN: below every real one, above padding.
WORST_QUALITY = torch.finfo(torch.float32).min


@TASK_UTILS.register_module()
class QualityAwareAssigner(BaseAssigner):
    """Gives each object its k_j best predictions, more where they are good.

    A prediction wanted by several objects goes to the one with the highest quality
    (lowest index on ties). An object left with nothing then takes a spare prediction,
    so every object has at least one unless objects outnumber predictions.

    Args:
        candidate_topk: Predictions summed for k_j in Eq. 7 (paper: k), >= 1.
        min_positives: Lower bound of k_j before conflicts (paper: l), >= 1.
        confidence_weight: gamma of Eq. 6, >= 0. Larger prefers well placed but
            unsure predictions.
        confidence: c of Eq. 6: `'gt_class'`, the predicted probability of the
            object's class, or `'max'`, the highest over classes.

    Shapes (`B` is images, or layers times images; `G` is objects, padded):
        probs: (B, nq, num_classes) probabilities
        boxes: (B, nq, 4) as (cx, cy, w, h), normalised to [0, 1]
        gt_boxes: (B, G, 4) as boxes
        gt_labels: (B, G) int64
        gt_valid: (B, G) bool, False = padding

    Raises:
        ConfigError: If a number is out of its range.

    Paper vs here: conflicts, ties and NaN are not mentioned in the paper.
    """

    def __init__(
        self,
        candidate_topk: int = 4,
        min_positives: int = 1,
        confidence_weight: float = 0.4,
        confidence: str = 'gt_class',
    ) -> None:
        setting = 'quality.assigner.'
        check_number(
            f'{setting}candidate_topk', candidate_topk, 1, whole=True, hint='paper: k=4'
        )
        check_number(
            f'{setting}min_positives', min_positives, 1, whole=True, hint='paper: l=1'
        )
        check_number(
            f'{setting}confidence_weight', confidence_weight, 0, hint='paper: gamma=0.4'
        )
        check_choice(f'{setting}confidence', confidence, ('gt_class', 'max'))
        self.candidate_topk = candidate_topk
        self.min_positives = min_positives
        self.confidence_weight = confidence_weight
        self.confidence = confidence

    def quality(
        self,
        probs: Tensor,
        boxes: Tensor,
        gt_boxes: Tensor,
        gt_labels: Tensor,
        gt_valid: Tensor,
    ) -> Tensor:
        """Return s = IoU - gamma * c, Eq. 6, (B, G, nq) in fp32; padding is -inf."""
        num_queries = boxes.shape[1]
        # The default eps is the area of one COCO pixel in normalised coordinates.
        iou = pairwise_iou(
            bbox_cxcywh_to_xyxy(gt_boxes.float()),
            bbox_cxcywh_to_xyxy(boxes.float()),
            eps=1e-12,
        )
        if self.confidence == 'max':
            confidence = probs.float().amax(-1)[:, None]
        else:
            classes = gt_labels[..., None].expand(-1, -1, num_queries)
            confidence = probs.float().transpose(1, 2).gather(1, classes)
        quality = iou.sub_(confidence.mul(self.confidence_weight))
        quality.nan_to_num_(nan=WORST_QUALITY)
        return quality.masked_fill_(~gt_valid[..., None], -torch.inf)

    def num_positives(self, best: Tensor) -> Tensor:
        """Return k_j = max(ceil(sum of the top-k s), l), Eq. 7.

        Shapes:
            best: (B, G, at least k, but for lack of predictions), the highest first
            output: (B, G) int64
        """
        topk = best[..., : self.candidate_topk]
        total = topk.masked_fill(topk <= WORST_QUALITY, 0).sum(-1)
        # fp32 noise must not lift a sum that is a whole number to the next one.
        return (total - 1e-6).ceil().long().clamp(min=self.min_positives)

    @torch.no_grad()
    def assign_batch(
        self,
        probs: Tensor,
        boxes: Tensor,
        gt_boxes: Tensor,
        gt_labels: Tensor,
        gt_valid: Tensor,
    ) -> Tensor:
        """Assign every image at once.

        Shapes:
            output: (B, nq) int64, index of the object in G, or -1 for background
        """
        if gt_boxes.shape[1] == 0:
            return gt_labels.new_full(boxes.shape[:2], -1)
        quality = self.quality(probs, boxes, gt_boxes, gt_labels, gt_valid)
        picked = self._best_of_each(quality) & gt_valid[..., None]
        return serve_all(quality, best_bidder(quality, picked), gt_valid)

    def _best_of_each(self, quality: Tensor) -> Tensor:
        """Pick the k_j best predictions of each object, (B, G, nq) bool.

        Ties go to the lower index, of which `topk` knows nothing.
        """
        most = min(max(self.candidate_topk, self.min_positives), quality.shape[-1])
        best = quality.topk(most).values
        number = self.num_positives(best).clamp(max=most)[..., None]
        least = best.gather(-1, number - 1)
        better, equal = quality > least, quality == least
        wanted = number - better.sum(-1, keepdim=True)
        return better | (equal & (equal.cumsum(-1) <= wanted))

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs,
    ) -> AssignResult:
        """Assign one image; the interface of mmdet's assigners.

        Args:
            pred_instances: `scores` (nq, num_classes) logits of a sigmoid
                classifier, `bboxes` (nq, 4) as (x1, y1, x2, y2) in pixels.
            gt_instances: `bboxes` (G, 4) as (x1, y1, x2, y2) in pixels, `labels`.
            img_meta: Not used; IoU does not depend on the scale.

        Returns:
            `gt_inds` is 0 for background and 1 + object index otherwise.
        """
        boxes, labels = gt_instances.bboxes, gt_instances.labels
        assigned = self.assign_batch(
            pred_instances.scores.sigmoid()[None],
            bbox_xyxy_to_cxcywh(pred_instances.bboxes)[None],
            bbox_xyxy_to_cxcywh(boxes)[None],
            labels[None],
            torch.ones_like(labels, dtype=torch.bool)[None],
        )[0]
        padded_labels = torch.cat((labels, labels.new_full((1,), -1)))
        return AssignResult(
            num_gts=len(labels),
            gt_inds=assigned + 1,
            max_overlaps=None,
            labels=padded_labels[assigned],
        )
