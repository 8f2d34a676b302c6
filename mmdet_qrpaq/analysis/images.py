"""Image files, as they are drawn on."""

import cv2
import numpy as np

from ..errors import ConfigError


def read_image(path: str) -> np.ndarray:
    """Return an image as (h, w, 3), RGB.

    Raises:
        ConfigError: It cannot be read.
    """
    image = cv2.imread(path)
    if image is None:
        raise ConfigError(f'{path} cannot be read as an image to draw on.')
    return image[..., ::-1]
