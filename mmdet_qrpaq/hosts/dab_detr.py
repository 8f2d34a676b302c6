"""DAB-DETR as host."""

from mmdet.models.dense_heads import DABDETRHead
from mmdet.models.detectors import DABDETR
from mmdet.registry import MODELS

from ..errors import ConfigError
from ..quality import QualityAwareDETRHead
from ..routing import EnteringDETRHead
from .methods import DetectorMethods


@MODELS.register_module()
class QRPaQDABDETR(DetectorMethods, DABDETR):
    """mmdet's `DABDETR` plus `query_routing` and `pattern_query`.

    Raises:
        ConfigError: If the host's own `num_patterns` is set beside `pattern_query`:
            both make the content of the same queries.
    """

    def __init__(self, *args, num_patterns: int = 0, **kwargs) -> None:
        if num_patterns and kwargs.get('pattern_query') is not None:
            raise ConfigError(
                f"DAB-DETR's own num_patterns is {num_patterns} and pattern_query is "
                'set, and both make the content queries: remove one of them.'
            )
        super().__init__(*args, num_patterns=num_patterns, **kwargs)


@MODELS.register_module()
class QualityAwareDABDETRHead(DABDETRHead, QualityAwareDETRHead, EnteringDETRHead):
    """mmdet's `DABDETRHead` plus `quality` (see `QualityAwareDETRHead`)."""
