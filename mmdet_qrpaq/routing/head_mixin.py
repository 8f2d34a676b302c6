"""Leaves queries that bypassed a layer out of its losses (QR-DETR Sec. 1 and 4.2b).

Sits *below* the host's head, above `DETRHead`, where it sees the decoder layers of the
matching queries: neither encoder proposals nor denoising queries.
"""

import torch
from torch import Tensor

from ..matching import BatchedLossesHead
from ..temporary_attribute import temporary_attribute


class EnteringDETRHead(BatchedLossesHead):
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

    def loss_by_feat(self, *args, **kwargs) -> dict[str, Tensor]:
        """Return the Hungarian losses of all layers.

        Raises:
            ConfigError: If they are mmdet's own, which cannot leave queries out.
        """
        if not vars(self).get('_entered'):
            return super().loss_by_feat(*args, **kwargs)
        entered = torch.stack(self._entered)
        entered[-1] = True
        with temporary_attribute(self, 'supervised_queries', entered):
            return super().loss_by_feat(*args, **kwargs)
