"""The optimizer's side of training: what learns, few groups, and one fused step."""

from .bfloat16 import BFloat16OptimWrapper
from .checkpoint_groups import CheckpointGroups
from .configured_schedule import ConfiguredSchedule
from .frozen_parts import FrozenPartsMixin
from .merged_groups import MergedOptimWrapperConstructor
from .warm_routing import WarmRoutingHook

__all__ = [
    'BFloat16OptimWrapper',
    'CheckpointGroups',
    'ConfiguredSchedule',
    'FrozenPartsMixin',
    'MergedOptimWrapperConstructor',
    'WarmRoutingHook',
]
