"""The optimizer's side of training: few parameter groups, and one fused step."""

from .checkpoint_groups import CheckpointGroups
from .configured_schedule import ConfiguredSchedule
from .merged_groups import MergedOptimWrapperConstructor

__all__ = ['CheckpointGroups', 'ConfiguredSchedule', 'MergedOptimWrapperConstructor']
