"""The options of a detector in the order that every host has them, outermost first.

Which seam each of them changes, and what it leaves for a later one: docs/data_flow.md.
"""

from ..errors import ConfigError
from ..masks import MaskBranchMixin
from ..ops import FasterAttentionMixin
from ..optim import FrozenPartsMixin
from ..patterns import PatternQueryMixin
from ..quality import HybridBranchMixin
from ..routing import QueryRoutingMixin
from .activation_checkpointing import ActivationCheckpointingMixin


class DetectorMethods(
    FrozenPartsMixin,
    FasterAttentionMixin,
    QueryRoutingMixin,
    PatternQueryMixin,
    MaskBranchMixin,
    ActivationCheckpointingMixin,
):
    """Adds `query_routing`, `pattern_query` and `mask_branch` to a detector.

    And `cpu_attention` and `fused_attention`, which change no more than rounding,
    `activation_checkpointing`, which changes no result, and `frozen_parts`.
    """


class DINOMethods(DetectorMethods, HybridBranchMixin):
    """Adds `hybrid_branch`, too, to a detector of the DINO family.

    Raises:
        ConfigError: If it is set beside `query_routing`.
    """

    content_embedding = 'query_embedding'

    def __init__(
        self,
        *args,
        query_routing: dict | None = None,
        hybrid_branch: dict | None = None,
        **kwargs,
    ) -> None:
        if query_routing is not None and hybrid_branch is not None:
            raise ConfigError(
                'query_routing and hybrid_branch are both set: neither paper combines '
                'them, and the extra queries would be routed and counted, too; remove '
                'one of them.'
            )
        super().__init__(
            *args, query_routing=query_routing, hybrid_branch=hybrid_branch, **kwargs
        )
