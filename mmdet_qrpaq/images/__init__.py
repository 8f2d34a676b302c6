"""Images of every depth as the eight bits that models and figures are made for.

`LoadImageFromFile` takes the place of mmcv's in every config that names it, and
`LoadImageFromNDArray` that of mmdet's wherever arrays are given in place of files.
"""

from .load_image import LoadImageFromFile, LoadImageFromNDArray
from .reading import decode_image, read_image
from .visualization_hook import AnyDepthVisualizationHook

__all__ = [
    'AnyDepthVisualizationHook',
    'LoadImageFromFile',
    'LoadImageFromNDArray',
    'decode_image',
    'read_image',
]
