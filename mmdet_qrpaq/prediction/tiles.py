"""Large images in overlapping tiles, and as a whole, by SAHI.

What two tiles find of one object is merged (SAHI's greedy non-maximum merging, of one
class, where more than half of the smaller box is in the other). Only what is over its
threshold is: merged with all the rest, boxes would grow. Nothing is merged on an image
that is one tile.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_masks
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction
from sahi.utils.cv import get_coco_segmentation_from_bool_mask

from .detections import Detections
from .predictor import Loaded, Predictor, Tell, pixels_of


class TiledPredictor:
    """Predicts on an image of any size.

    Args:
        predictor: Predicts on a tile.
        thresholds: By label.
        size: Of a tile, pixels.
        overlap: Of neighbours, as a share of their size.
        batch_size: Tiles at a time.
    """

    def __init__(
        self,
        predictor: Predictor,
        thresholds: np.ndarray,
        size: int,
        overlap: float,
        batch_size: int,
    ) -> None:
        self._model = _SahiModel(predictor, thresholds)
        self._settings = dict(
            slice_height=size,
            slice_width=size,
            overlap_height_ratio=overlap,
            overlap_width_ratio=overlap,
            batch_size=batch_size,
            force_postprocess_type=True,  # also with thresholds below 0.1
            verbose=0,
        )

    def load(self, image: str | np.ndarray) -> Loaded:
        """Read an image; see `Predictor.load`."""
        return self._model.predictor.load(image)

    def find(self, images: Sequence[Loaded], tell: Tell) -> list[Detections]:
        """Return what is found over the thresholds on each image, the best first.

        Args:
            tell: Of tiles.
        """
        return [self._find(image, tell) for image in images]

    def _find(self, loaded: Loaded, tell: Tell) -> Detections:
        image = pixels_of(loaded)
        if max(image.shape[:2]) <= self._settings['slice_height']:
            (found,) = self._model.predictor.find([loaded])
            return found.over(self._model.thresholds)
        self._model.path = loaded['img_path']
        found = get_sliced_prediction(
            image, self._model, progress_callback=tell, **self._settings
        ).object_prediction_list
        found.sort(key=lambda one: -one.score.value)
        boxes = [one.bbox.to_xyxy() for one in found]
        masks = None
        if any(one.mask for one in found):
            masks = [_mask(one.mask.segmentation, *image.shape[:2]) for one in found]
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array([one.score.value for one in found], np.float32),
            np.array([one.category.id for one in found], int),
            masks,
        )


class _SahiModel(DetectionModel):
    """What SAHI asks for tiles; of one process, and loaded already."""

    def __init__(self, predictor: Predictor, thresholds: np.ndarray) -> None:
        super().__init__(device='cpu', load_at_init=False)
        self.predictor, self.thresholds = predictor, thresholds
        self.path = ''  # of the image whose tiles come, for messages

    def perform_inference(self, image: np.ndarray) -> None:
        self.perform_batch_inference([image])

    def perform_batch_inference(self, images: list[np.ndarray]) -> None:
        loaded = [
            self.predictor.load(image) | {'img_path': self.path} for image in images
        ]
        found = self.predictor.find(loaded)
        self._original_predictions = [one.over(self.thresholds) for one in found]

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        predictions = self._original_predictions
        shifts, shapes = shift_amount_list, full_shape_list
        if len(predictions) == 1 and np.ndim(shifts) == 1:  # the whole image
            shifts, shapes = [shifts], [shapes]
        self._object_prediction_list_per_image = [
            list(_as_sahi(found, shift, shape))
            for found, shift, shape in zip(predictions, shifts, shapes, strict=True)
        ]


def _as_sahi(
    found: Detections, shift: list[int], shape: list[int]
) -> Iterator[ObjectPrediction]:
    for row, box in enumerate(found.boxes.clip(0).tolist()):
        if box[0] >= box[2] or box[1] >= box[3]:
            continue  # SAHI takes no empty ones
        outline = None
        if found.masks is not None:
            inside = coco_masks.decode(found.masks[row]).astype(bool)
            outline = get_coco_segmentation_from_bool_mask(inside)
            if not outline:
                continue
        label = int(found.labels[row])
        yield ObjectPrediction(
            bbox=box,
            category_id=label,
            category_name=str(label),
            score=float(found.scores[row]),
            segmentation=outline,
            shift_amount=shift,
            full_shape=shape,
        )


def _mask(outline: list[list[float]], height: int, width: int) -> dict:
    mask = coco_masks.merge(coco_masks.frPyObjects(outline, height, width))
    return dict(size=mask['size'], counts=mask['counts'].decode())
