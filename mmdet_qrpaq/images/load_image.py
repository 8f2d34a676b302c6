"""The first step of every pipeline, for images of any depth."""

import mmcv.transforms
import numpy as np
from mmdet.datasets.transforms import loading
from mmdet.registry import TRANSFORMS
from mmengine import fileio

from ..errors import ConfigError, check_number
from .reading import DEPTHS, as_eight_bits, decode_image, in_colour


# mmcv's is in a registry above mmdet's: in a config of mmdet the name means this one,
# also where a pipeline is searched for it.
@TRANSFORMS.register_module()
class LoadImageFromFile(mmcv.transforms.LoadImageFromFile):
    """mmcv's, with images of more than eight bits and a sentence for damaged ones.

    Images of eight bits are read as by mmcv; any other as `decode_image` does. With
    another `color_type` or `imdecode_backend` than mmcv's, all is left to mmcv.

    Args:
        bits: See `decode_image`; the same for all images, e.g. `12` where some are so
            dark that they would pass for 10.

    Raises:
        ConfigError: If an image cannot be read; names its file.
    """

    def __init__(self, *args, bits: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if bits is not None:
            hint = 'depth of the camera: 10, 12, 14 or 16'
            name = 'LoadImageFromFile.bits'
            check_number(name, bits, DEPTHS[0], DEPTHS[-1], whole=True, hint=hint)
        self.bits = bits

    def transform(self, results: dict) -> dict | None:
        """Add `img` (height, width, 3) and its shapes to `results`."""
        path = results['img_path']
        plain = self.color_type == 'color' and self.imdecode_backend == 'cv2'
        if not plain or self.file_client_args is not None:
            return super().transform(results)
        try:
            content = fileio.get(path, backend_args=self.backend_args)
            image = decode_image(content, path, self.bits)
        except (ConfigError, OSError) as error:
            if self.ignore_empty:
                return None
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f'image {path} cannot be read ({error.strerror or error}); put it '
                'there, or leave it out.'
            ) from error
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


# By this name mmdet's inferencers load what is given to them as arrays.
@TRANSFORMS.register_module(force=True)
class LoadImageFromNDArray(LoadImageFromFile, loading.LoadImageFromNDArray):
    """mmdet's, which also takes grey arrays, with alpha, and of 16 bits.

    Colours of eight bits and floats are left as they are, as by mmdet. Grey is repeated
    for the three channels that models are made for, alpha is left out, and of 16 bits
    those in use are kept as in files; see `decode_image`. True is 255.

    Raises:
        ConfigError: If it is no image.
    """

    def transform(self, results: dict) -> dict:
        """Add `img` (height, width, 3) and its shapes to `results`, which has `img`."""
        image = np.asarray(results['img'])
        channels = image.shape[2] if image.ndim == 3 else 1
        if image.ndim not in (2, 3) or not 1 <= channels <= 4 or not image.size:
            raise ConfigError(
                f'an array of shape {image.shape} is no image; give (height, width) or '
                '(height, width, channels), blue first.'
            )
        if image.dtype == bool:
            image = image * np.uint8(255)
        if image.dtype != np.uint8 and np.issubdtype(image.dtype, np.integer):
            image = as_eight_bits(image, 'given as an array', self.bits)
        results = dict(results, img=in_colour(image))
        return loading.LoadImageFromNDArray.transform(self, results)
