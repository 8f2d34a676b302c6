"""Room 2: content queries -> refined queries (QR-DETR Sec. 4, Eq. 5-11)."""

from .detector_mixin import QueryRoutingMixin
from .eeqr_layer import EEQRDecoderLayer, RoutingTrace
from .exit_heads import ExitHeads
from .head_mixin import EnteringDETRHead
from .policies import Decision, StandardizedPolicy, ThresholdPolicy, TopSharePolicy
from .router import Router
from .settings import RoutingSettings

__all__ = [
    'Decision',
    'EEQRDecoderLayer',
    'EnteringDETRHead',
    'ExitHeads',
    'QueryRoutingMixin',
    'Router',
    'RoutingSettings',
    'RoutingTrace',
    'StandardizedPolicy',
    'ThresholdPolicy',
    'TopSharePolicy',
]
