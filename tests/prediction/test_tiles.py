"""Large images in tiles: objects at known places, by a detector of bright pixels."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_masks

from mmdet_qrpaq.prediction.detections import Detections

pytest.importorskip('sahi')
from mmdet_qrpaq.prediction.tiles import TiledPredictor

# left, top, right, bottom on 4000 x 600 pixels, tiles of 200 that overlap by 40.
PLACES = [
    [20, 20, 50, 60],  # inside of a tile
    [165, 100, 195, 130],  # in the overlap of two
    [300, 310, 340, 350],  # across the corner of four
    [925, 200, 1035, 260],  # as wide as is merged of two halves: under 3 overlaps
    [2000, 400, 2300, 480],  # wider than a tile
    [3970, 570, 4000, 600],
]


class Bright:
    """Boxes around what is bright, as far as an image shows it.

    Attributes:
        shapes: Heights and widths that it was asked about, a list a batch.
    """

    def __init__(self, with_masks: bool = False) -> None:
        self.shapes, self.with_masks = [], with_masks

    def load(self, image):
        return dict(img=image)

    def find(self, images):
        self.shapes.append([image['img'].shape[:2] for image in images])
        return [self.look(image['img']) for image in images]

    def look(self, image):
        is_whole = image.shape[1] > 200
        if is_whole:  # small objects cannot be seen there
            image = cv2.morphologyEx(image, cv2.MORPH_OPEN, np.ones((1, 201)))
        count, marked, stats, _ = cv2.connectedComponentsWithStats(image[..., 0])
        left, top, width, height = stats[1:, :4].T.astype(np.float32)
        boxes = np.stack([left, top, left + width, top + height], 1)
        scores = np.full(count - 1, 0.9 if is_whole else 0.8)
        masks = [
            coco_masks.encode(np.asfortranarray((marked == n).astype(np.uint8)))
            for n in range(1, count)
        ]
        labels = np.zeros(count - 1, int)
        return Detections(boxes, scores, labels, masks if self.with_masks else None)


@pytest.fixture
def image() -> np.ndarray:
    image = np.zeros((600, 4000, 3), np.uint8)
    for left, top, right, bottom in PLACES:
        image[top:bottom, left:right] = 200
    return image


def predict(predictor, image, threshold=0.5, told=lambda done, total: None):
    tiled = TiledPredictor(predictor, np.array([threshold]), 200, 0.2, batch_size=4)
    return tiled.find([dict(img=image, img_path='a.png')], told)[0]


def test_objects_are_found_where_they_are_and_once(image):
    told, bright = [], Bright()
    found = predict(bright, image, told=lambda *parts: told.append(parts))
    assert sorted(found.boxes.tolist()) == sorted(PLACES)
    assert found.scores.tolist() == pytest.approx([0.9, *[0.8] * 5])
    assert found.masks is None
    # 25 tiles of every 160 pixels in a row, 4 rows; then the whole image.
    assert told[-1] == (100, 100) and len(told) == 25
    assert bright.shapes == [[(200, 200)] * 4] * 25 + [[(600, 4000)]]


def test_what_is_under_the_threshold_is_not_merged(image):
    assert len(predict(Bright(), image, threshold=0.8)) == 6
    whole = predict(Bright(), image, threshold=0.85)
    assert whole.boxes.tolist() == [PLACES[4]]


def test_an_image_of_one_tile_is_predicted_on_as_without_tiles():
    """Two objects, one in the other's box, are two."""
    image = np.zeros((150, 200, 3), np.uint8)
    cv2.rectangle(image, (10, 10), (120, 120), (200, 200, 200), 4)
    image[50:90, 50:90] = 200
    bright = Bright()
    found, alone = predict(bright, image), bright.look(image)
    np.testing.assert_array_equal(found.boxes, alone.boxes)
    assert len(found) == 2 and bright.shapes == [[(150, 200)]]


def test_pieces_that_overlap_by_less_than_half_stay(image):
    """What is as wide as a tile and not found on the whole image."""
    image[:] = 0
    image[400:480, 1050:1230] = 200
    assert len(predict(Bright(), image)) == 2


def test_masks_go_with_their_boxes(image):
    found = predict(Bright(with_masks=True), image)
    # Outlines run through the middle of pixels, and boxes are those of outlines.
    order = np.lexsort(found.boxes.T[::-1])
    expected = np.array(sorted(PLACES))
    np.testing.assert_allclose(
        found.boxes[order], expected - [0, 0, 0.5, 0.5], atol=0.5
    )
    for (left, top, right, bottom), row in zip(expected, order, strict=True):
        inside = coco_masks.decode(found.masks[row])
        assert inside.shape == (600, 4000)
        area = (right - left) * (bottom - top)
        assert inside[top:bottom, left:right].sum() == inside.sum() > 0.9 * area
