"""Runs a detector on images, as a test does."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures.mask import encode_mask_results
from mmengine.dataset import Compose, pseudo_collate
from mmengine.fileio import get

from ..class_name import class_name
from ..errors import ConfigError
from ..images import decode_image
from .detections import Detections
from .model import Model

LOADER = 'LoadImageFromFile'


class Predictor:
    """A detector with the test pipeline of its config.

    Args:
        model: What to run.
    """

    def __init__(self, model: Model) -> None:
        steps = copy.deepcopy(model.pipeline)
        kinds = [class_name(step['type']) for step in steps]
        if LOADER not in kinds:
            raise ConfigError(
                f'the test pipeline of {model.trained.config} has no {LOADER}, so that '
                'nothing tells how images are read; give another config: --config FILE.'
            )
        loader = steps[kinds.index(LOADER)]
        # mmdet's, which takes a file as the step in its place would, or an array.
        loader['type'] = 'mmdet.InferencerLoader'
        self._bits = loader.get('bits')
        self._pipeline = Compose(
            [
                step
                for step, kind in zip(steps, kinds, strict=True)
                if 'Annotations' not in kind
            ]
        )
        self.detector = model.trained.detector
        self.num_labels = len(model.classes)

    def read(self, path: str) -> np.ndarray:
        """Return an image as the detector sees it, (h, w, 3) of uint8, blue first.

        Raises:
            ConfigError: It cannot be read.
        """
        try:
            return decode_image(get(path), path, self._bits)
        except OSError as error:
            raise ConfigError(
                f'image {path} cannot be read ({error.strerror or error}).'
            ) from error

    def prepare(self, image: str | np.ndarray) -> dict[str, Any]:
        """Load and resize an image.

        Args:
            image: A file, or an array of uint8, blue first.

        Raises:
            ConfigError: It cannot be read.
        """
        key = 'img_path' if isinstance(image, str) else 'img'
        return self._pipeline({key: image, 'img_id': 0})

    @torch.no_grad()
    def predict(self, prepared: Sequence[dict[str, Any]]) -> list[Detections]:
        """Return what is found on a batch of images, all that the model tells."""
        if not prepared:
            return []
        samples = self.detector.test_step(pseudo_collate(list(prepared)))
        return [_detections(sample.pred_instances) for sample in samples]


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
