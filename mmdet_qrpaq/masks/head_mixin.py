"""Keeps the query of each match and of each detection, which mmdet's heads drop.

Sits *below* the host's head, just above `DETRHead`, where it sees the decoder layers of
the matching queries: neither encoder proposals nor denoising queries. Owns no
parameter: exit heads are copies of the head, and would copy them.
"""

from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..matching import BatchedLossesHead, Matches, pad_ground_truth
from ..temporary_attribute import temporary_attribute


class QueryKeepingDETRHead(BatchedLossesHead):
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
        inputs = (all_layers_cls_scores, all_layers_bbox_preds)
        if not self.keeps_queries:
            return super().loss_by_feat(*inputs, *args, **kwargs)
        with temporary_attribute(self, '_kept', []) as kept:
            losses = super().loss_by_feat(*inputs, *args, **kwargs)
            if not kept:  # mmdet has matched layer by layer, and kept nothing
                self.match(*inputs, pad_ground_truth(*args[:2]))
        self._matches = kept[0][: len(all_layers_cls_scores)]  # not the encoder's
        return losses

    def match(self, cls_scores: Tensor, *args, **kwargs) -> Matches:
        """Match; keep what is said while `loss_by_feat` runs."""
        matches = super().match(cls_scores, *args, **kwargs)
        if '_kept' in vars(self):
            truth = args[1]
            assigned = matches.assigned(cls_scores.shape[:3], truth.labels.shape[1])
            self._kept.append(assigned)
        return matches

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
