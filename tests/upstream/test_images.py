"""What mmcv and OpenCV make of image files, without this package.

Each test holds a row of docs/upstream.md: one that fails tells of a new release that
does otherwise, and the row and what we do about it can go.
"""

import cv2
import mmcv
import numpy as np
import pytest
from mmdet.datasets.transforms import PackDetInputs
from mmdet.datasets.transforms.loading import LoadImageFromNDArray
from mmdet.models import DetDataPreprocessor
from mmdet.visualization import DetLocalVisualizer
from PIL import Image

from odd_images import huge_png, tiff

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def read(image, suffix, **settings):
    return mmcv.imfrombytes(cv2.imencode(suffix, image)[1].tobytes(), **settings)


def test_the_upper_8_of_16_bits_are_kept():
    for suffix in ('.png', '.tif'):
        assert read(RAMP, suffix).max() <= 16  # of 255, for an image of 12 bits
        assert read(RAMP * 16, suffix).max() == 255


def test_sixteen_bits_are_cut_off_at_255_by_the_other_decoder():
    grey = read(RAMP, '.png', backend='pillow')
    np.testing.assert_array_equal(grey[..., 0], np.minimum(RAMP, 255))


def test_floats_cannot_be_read_as_colours():
    assert read(np.float32(RAMP / 4095), '.tif') is None
    floats = read(np.float32(RAMP / 4095), '.tif', flag='unchanged')
    assert floats.dtype == np.float32 and floats.max() == 1


def test_of_grey_with_alpha_the_upper_8_bits_are_read():
    found = mmcv.imfrombytes(tiff(RAMP, 2), flag='unchanged')
    assert found.dtype == np.uint8 and found.max() == 4095 >> 8


def test_a_damaged_file_is_not_named():
    with pytest.raises(cv2.error) as error:
        mmcv.imfrombytes(b'')
    assert 'empty' in str(error.value)
    with pytest.raises(cv2.error) as error:
        mmcv.imfrombytes(huge_png(cv2.imencode('.png', RAMP)[1].tobytes()))
    assert 'PIXELS' in str(error.value)
    half = cv2.imencode('.png', RAMP)[1].tobytes()[:1000]
    assert mmcv.imfrombytes(half) is None


def test_grey_arrays_end_in_an_error_and_are_drawn_in_colours():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    loaded = LoadImageFromNDArray()(dict(img=grey))
    packed = PackDetInputs(meta_keys=())(loaded)
    preprocess = DetDataPreprocessor(mean=[0] * 3, std=[1] * 3, bgr_to_rgb=True)
    batch = {key: [value] for key, value in packed.items()}
    with pytest.raises(IndexError):
        preprocess(batch)
    visualizer = DetLocalVisualizer()
    visualizer.set_image(grey)
    drawn = visualizer.get_image()
    assert (drawn[..., 0] != drawn[..., 2]).mean() > 0.9


def test_sahi_lifts_the_limit_of_pillow(monkeypatch):
    """In the whole process, and for an array, too."""
    reading = pytest.importorskip('sahi.utils.cv')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    reading.read_image_as_pil(np.zeros((9, 9, 3), np.uint8))
    assert Image.MAX_IMAGE_PIXELS is None


def test_outlines_of_sahi_run_through_the_middle_of_pixels():
    """A box around one is a pixel less wide and high; a hole is an outline, too."""
    outlines = pytest.importorskip('sahi.utils.cv').get_coco_segmentation_from_bool_mask
    mask = np.zeros((20, 20), bool)
    mask[5:15, 2:12] = True
    (outer,) = outlines(mask)
    assert (min(outer[::2]), max(outer[::2])) == (2, 11)
    assert (min(outer[1::2]), max(outer[1::2])) == (5, 14)
    mask[8:12, 5:9] = False
    assert len(outlines(mask)) == 2


def test_videos_of_odd_size_lose_a_pixel(tmp_path):
    path = str(tmp_path / 'odd.mp4')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'mp4v'), 10, (35, 33))
    assert writer.isOpened()
    writer.write(np.zeros((33, 35, 3), np.uint8))
    writer.release()
    assert cv2.VideoCapture(path).read()[1].shape == (32, 34, 3)
