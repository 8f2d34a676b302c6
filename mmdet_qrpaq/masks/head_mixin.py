"""Keeps the query of each match and of each detection, which mmdet's heads drop.

Sits *below* the host's head, just above `DETRHead`, where it sees the decoder layers of
the matching queries: neither encoder proposals nor denoising queries. Owns no
parameter: exit heads are copies of the head, and would copy them.
"""

import torch
from mmdet.models.dense_heads import DETRHead
from mmengine.structures import InstanceData
from torch import Tensor, nn


class KeepingAssigner:
    """Stands in front of an assigner and keeps what it says, image after image."""

    def __init__(self, assigner: object) -> None:
        self.assigner = assigner
        self.matches: list[Tensor] = []

    def assign(self, *args, **kwargs):
        result = self.assigner.assign(*args, **kwargs)
        self.matches.append(result.gt_inds - 1)
        return result


class QueryKeepingDETRHead(DETRHead):
    """Hands the mask branch the one-to-one matches and the queries of detections.

    Attributes:
        keeps_queries: Whether it does; `MaskBranchMixin` switches it on.
    """

    keeps_queries = False

    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        *args,
        **kwargs,
    ) -> dict[str, Tensor]:
        """Return the Hungarian losses; keep their matches for `take_matches`."""
        inputs = (all_layers_cls_scores, all_layers_bbox_preds, *args)
        if not self.keeps_queries:
            return super().loss_by_feat(*inputs, **kwargs)
        keeper = KeepingAssigner(self.assigner)
        self.assigner = keeper
        try:
            losses = super().loss_by_feat(*inputs, **kwargs)
        finally:
            self.assigner = keeper.assigner
        # The host assigns layer after layer, and image after image in each.
        layers_and_images = all_layers_cls_scores.shape[:2]
        self._matches = torch.stack(keeper.matches).unflatten(0, layers_and_images)
        return losses

    def take_matches(self) -> Tensor:
        """Return the matches of the last `loss_by_feat` and forget them.

        Shapes:
            returns: (num_layers, bs, nq) int64, the object of each query, -1 if none
        """
        return self.__dict__.pop('_matches')

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        """Return the host's detections; `queries`, (n,) int64, names their queries."""
        results = super()._predict_by_feat_single(
            cls_score, bbox_pred, img_meta, rescale
        )
        if self.keeps_queries:
            results.queries = self._best_queries(cls_score, len(results))
        return results

    def _best_queries(self, cls_score: Tensor, count: int) -> Tensor:
        """Repeat the host's own top-k, for what it does not return."""
        if self.loss_cls.use_sigmoid:
            best = cls_score.sigmoid().view(-1).topk(count).indices
            return best // self.num_classes
        probabilities = nn.functional.softmax(cls_score, dim=-1)[..., :-1]
        return probabilities.max(-1).values.topk(count).indices
