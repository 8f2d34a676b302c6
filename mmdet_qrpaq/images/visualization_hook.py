"""Draws predictions on what the model has seen of an image."""

from types import SimpleNamespace

import cv2
import numpy as np
from mmdet.engine.hooks import DetVisualizationHook, visualization_hook
from mmdet.registry import HOOKS

from ..temporary_attribute import temporary_attribute
from .reading import decode_image


@HOOKS.register_module()
class AnyDepthVisualizationHook(DetVisualizationHook):
    """mmdet's, which reads each image once more, with our `decode_image` for it."""

    def after_test_iter(self, *args, **kwargs) -> None:
        """Draw a batch."""
        with temporary_attribute(visualization_hook, 'mmcv', _READER):
            super().after_test_iter(*args, **kwargs)


def _imfrombytes(content: bytes, channel_order: str) -> np.ndarray:
    return cv2.cvtColor(decode_image(content, 'to draw on'), cv2.COLOR_BGR2RGB)


_READER = SimpleNamespace(imfrombytes=_imfrombytes)
