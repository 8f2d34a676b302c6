"""Backbones beside mmdet's: pretrained ones that the package index has.

All count their levels as mmdet's ResNet: level 0 has stride 4, level 3 stride 32.
"""

from .efficientnet_lite import EfficientNetLite0
from .package_files import load_from_package

__all__ = ['EfficientNetLite0', 'load_from_package']
