"""Leaves queries that bypassed a layer out of its losses (QR-DETR Sec. 1 and 4.2b).

Sits *below* the host's head, above `DETRHead`, where it sees the decoder layers of the
matching queries: neither encoder proposals nor denoising queries.
"""

import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.models.task_modules import AssignResult
from mmengine.structures import InstanceData
from torch import Tensor

from ..temporary_attribute import temporary_attribute


class EnteringAssigner:
    """Stands in front of an assigner and lets it see the entering queries alone.

    Args:
        entered: (num_layers, bs, nq) bool. Called layer after layer, and image after
            image in each, as mmdet's heads do.
    """

    def __init__(self, assigner: object, entered: Tensor) -> None:
        self.assigner = assigner
        entered = entered.flatten(0, 1)
        order = (~entered).byte().argsort(dim=1, stable=True)
        # The only synchronisation: how many enter, of all layers and images at once.
        counts = entered.sum(1).tolist()
        self.rows = iter([row[:n] for row, n in zip(order, counts, strict=True)])

    def assign(self, pred_instances: InstanceData, *args, **kwargs) -> AssignResult:
        """Return -1 ('neither object nor background') for who bypassed."""
        rows = next(self.rows)
        result = self.assigner.assign(pred_instances[rows], *args, **kwargs)
        gt_inds = result.gt_inds.new_full((len(pred_instances),), -1)
        result.gt_inds = gt_inds.index_copy(0, rows, result.gt_inds)
        return result


class EnteringDETRHead(DETRHead):
    """Takes only entering queries for predictions of an intermediate layer.

    With `query_routing.supervise='entering'`. Others are neither matched with an object
    nor background, as if they were not there; an object may stay without a query. In
    the last layer all are predictions. The detector leaves `_entered`, one (bs, nq)
    bool for each layer, for the length of a loss.

    Paper vs here: it says that skipping 'reduces the number of supervision signals a
    query encounters' (Sec. 1) and that some are 'supervised multiple times' (Sec.
    4.2b), not which losses a skipping query is left out of. Here it is the host's
    Hungarian ones. Exit heads go on to teach the router of all queries, or it would
    never learn of those that it sends past; `quality`, PaQ-DETR's, chooses among all
    queries of a layer, too.
    """

    def loss_by_feat(
        self, all_layers_cls_scores: Tensor, all_layers_bbox_preds: Tensor, *args, **kw
    ) -> dict[str, Tensor]:
        """Return the Hungarian losses of all layers."""
        inputs = (all_layers_cls_scores, all_layers_bbox_preds, *args)
        if not vars(self).get('_entered'):
            return super().loss_by_feat(*inputs, **kw)
        entered = torch.stack(self._entered)
        entered[-1] = True
        assigner = EnteringAssigner(self.assigner, entered)
        with (
            temporary_attribute(self, 'assigner', assigner),
            temporary_attribute(self, '_predicting', iter(entered)),
        ):
            return super().loss_by_feat(*inputs, **kw)

    def get_targets(self, *args, **kwargs) -> tuple:
        """Return those of one layer; who bypassed it has no weight."""
        labels, label_weights, *others = super().get_targets(*args, **kwargs)
        if '_predicting' in vars(self):
            images = zip(label_weights, next(self._predicting), strict=True)
            label_weights = [weights * predicts for weights, predicts in images]
        return labels, label_weights, *others
