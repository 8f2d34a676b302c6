"""Runs a detector on images, as a test does."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import encode_mask_results
from mmengine.dataset import Compose, pseudo_collate

from ..class_name import class_name
from ..errors import ConfigError
from ..images.reading import in_colour
from .detections import Detections
from .model import Model

LOADER = 'LoadImageFromFile'
Loaded = dict[str, Any]  # what a pipeline makes of an image in its first step
Tell = Callable[
    [int, int], None
]  # called with how many parts are done, and of how many


class Predictor:
    """A detector with the test pipeline of its config.

    Args:
        model: What to run.

    Raises:
        ConfigError: The pipeline does not begin with a file.
    """

    def __init__(self, model: Model) -> None:
        steps = copy.deepcopy(model.pipeline)
        kinds = [class_name(step['type']) for step in steps]
        if kinds[:1] != [LOADER]:
            raise ConfigError(
                f'the test pipeline of {model.trained.config} does not begin with '
                f'{LOADER}, so that nothing tells how images are read; give another '
                'config: --config FILE.'
            )
        # mmdet's, which takes a file as the step in its place would, or an array.
        self._load = TRANSFORMS.build(dict(steps[0], type='mmdet.InferencerLoader'))
        rest = zip(steps[1:], kinds[1:], strict=True)
        self._rest = Compose([s for s, kind in rest if 'Annotations' not in kind])
        self._detector = model.trained.detector

    def load(self, image: str | np.ndarray) -> Loaded:
        """Read an image.

        Args:
            image: A file, or an array of uint8, blue first.

        Raises:
            ConfigError: It cannot be read.
        """
        key = 'img_path' if isinstance(image, str) else 'img'
        try:
            return dict(self._load({key: image}), img_id=0)
        except OSError as error:  # of another loader than ours
            raise ConfigError(
                f'image {image} cannot be read ({error.strerror or error}); replace '
                'it, or leave it out.'
            ) from error

    @torch.no_grad()
    def find(
        self, images: Sequence[Loaded], tell: Tell | None = None
    ) -> list[Detections]:
        """Return what is found on a batch of images, all that the model tells.

        Args:
            tell: There is nothing to tell of parts.

        Raises:
            ConfigError: One is too small or too narrow; of several it may be any.
        """
        if not images:
            return []
        names = ', '.join(dict.fromkeys(str(image['img_path']) for image in images))
        try:
            batch = pseudo_collate([self._rest(dict(image)) for image in images])
            samples = self._detector.test_step(batch)
        except cv2.error as error:
            raise ConfigError(
                f'{names}: too narrow to be resized as the test pipeline says '
                f'({error.err or error.func}); cut it, or leave it out.'
            ) from error
        except RuntimeError as error:
            if 'k out of range' not in str(error):
                raise
            raise ConfigError(
                f'{names}: too small or too narrow, as the detector sees it, to choose '
                'all queries from; enlarge it, or lower model.num_queries.'
            ) from error
        return [_detections(sample.pred_instances) for sample in samples]


def pixels_of(image: Loaded) -> np.ndarray:
    """Return an image to draw on, (h, w, 3) of uint8, blue first."""
    return in_colour(np.clip(image['img'], 0, 255).astype(np.uint8))


def _detections(found: Any) -> Detections:
    masks = found.get('masks')
    if masks is not None:
        if isinstance(masks, torch.Tensor):
            masks = masks.cpu().numpy()
        masks = encode_mask_results(masks)
        for mask in masks:
            mask['counts'] = mask['counts'].decode()
    arrays = (found[key].cpu().numpy() for key in ('bboxes', 'scores', 'labels'))
    return Detections(*arrays, masks)
