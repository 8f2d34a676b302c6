"""Images of every depth: eight bits as OpenCV reads them, others by our own rule."""

from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
from mmdet.apis.det_inferencer import DetInferencer
from mmdet.datasets.transforms import InferencerLoader
from mmdet.registry import TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image

from check_each import check_each
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.images import LoadImageFromFile, LoadImageFromNDArray, read_image
from odd_images import huge_png, tiff

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.dstack([GREY, 255 - GREY, GREY // 2])


def load(path: Path, **settings) -> np.ndarray:
    return LoadImageFromFile(**settings)(dict(img_path=str(path)))['img']


def save(path: Path, image: np.ndarray) -> Path:
    # Plain: OpenCV before 5 stores floats with a loss.
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    return path


def test_eight_bits_are_read_as_by_mmcv(tmp_path):
    """Grey, palette, with alpha, CMYK, one bit, turned by EXIF; JPEG and WebP."""
    image, exif = Image.fromarray(COLOUR), Image.Exif()
    exif[0x0112] = 6
    kinds = {
        'grey.png': (image.convert('L'), {}),
        'palette.png': (image.convert('P'), {}),
        'alpha.png': (image.convert('RGBA'), {}),
        'grey_alpha.png': (image.convert('LA'), {}),
        'one_bit.png': (image.convert('1'), {}),
        'rgb.tif': (image, {}),
        'rgb.webp': (image, {}),
        'cmyk.jpg': (image.convert('CMYK'), {}),
        'turned.jpg': (image.crop((0, 0, 16, 8)), dict(exif=exif)),
    }

    def check(name, image, options):
        path = tmp_path / name
        image.save(path, **options)
        loaded = LoadImageFromFile()(dict(img_path=str(path)))
        theirs = mmcv.transforms.LoadImageFromFile()(dict(img_path=str(path)))
        assert loaded['img'].dtype == np.uint8
        np.testing.assert_array_equal(loaded.pop('img'), theirs.pop('img'))
        assert loaded == theirs

    check_each(check, [(name, *kind) for name, kind in kinds.items()])


def test_whole_numbers_keep_the_upper_eight_of_their_bits(tmp_path):
    """By hand: the largest value says how many bits, and the lowest are dropped."""

    def check(name, values, expected):
        image = np.array([values], dtype=np.uint16)
        loaded = load(save(tmp_path / name, image))
        np.testing.assert_array_equal(loaded, np.array([expected] * 3).T[None])

    check_each(
        check,
        [
            ('8.png', [0, 7, 255], [0, 7, 255]),
            ('10.png', [0, 3, 4, 1023], [0, 0, 1, 255]),
            ('10_and_a_bit.png', [0, 15, 16, 1024], [0, 0, 1, 64]),
            ('12.tif', [0, 16, 1600, 4095], [0, 1, 100, 255]),
            ('14.tif', [0, 64, 16383], [0, 1, 255]),
            ('16.png', [0, 255, 256, 65535], [0, 0, 1, 255]),
        ],
    )


def test_sixteen_full_bits_are_read_as_by_mmcv(tmp_path):
    image = (COLOUR.astype(np.uint16) << 8) + 17
    path = save(tmp_path / 'full.png', image)
    np.testing.assert_array_equal(load(path), COLOUR)
    np.testing.assert_array_equal(load(path), mmcv.imread(str(path)))


def test_the_same_bits_for_all_images(tmp_path):
    dark = save(tmp_path / 'dark.png', np.array([[0, 800]], dtype=np.uint16))
    assert load(dark)[0, 1, 0] == 800 >> 2
    assert load(dark, bits=12)[0, 1, 0] == 800 >> 4
    with pytest.raises(ConfigError, match='uint16 from 0 to 800, and .* of 9 bits'):
        load(dark, bits=9)
    for bits in (0, 17, 12.5, '12'):
        with pytest.raises(ConfigError, match='LoadImageFromFile.bits is'):
            LoadImageFromFile(bits=bits)


def test_floats_are_of_one_or_of_255(tmp_path):
    for kind in (np.float32, np.float64):
        one = save(tmp_path / 'one.tif', np.array([[0, 0.5, 1]], dtype=kind))
        assert load(one)[0, :, 1].tolist() == [0, 128, 255]
        all_of_it = save(tmp_path / 'all.tif', np.array([[0, 2.6, 254]], dtype=kind))
        assert load(all_of_it)[0, :, 1].tolist() == [0, 3, 254]
        over = save(tmp_path / 'over.tif', np.array([[-0.04, 0.2, 1.04]], dtype=kind))
        assert load(over)[0, :, 1].tolist() == [0, 51, 255]
    colour = save(tmp_path / 'colour.tif', np.float32(COLOUR / 255))
    np.testing.assert_array_equal(load(colour), COLOUR)


def test_numbers_without_a_range_are_refused(tmp_path):
    def check(name, values, dtype, told):
        path = save(tmp_path / f'{name}.tif', np.array([values], dtype=dtype))
        with pytest.raises(ConfigError) as refusal:
            load(path)
        assert str(refusal.value).startswith(f'image {path} holds {dtype} from {told}')

    check_each(
        check,
        [
            ('negative', [-1000, 3000], 'float32', '-1000 to 3000, and of this kind f'),
            ('below', [-20, 200], 'float32', '-20 to 200'),
            ('above', [0, 300], 'float32', '0 to 300'),
            ('nan', [0, np.nan], 'float32', 'nan to nan'),
            ('infinite', [0, np.inf], 'float32', '0 to inf'),
            ('large', [0, 70000], 'int32', '0 to 70000, and of this kind whole'),
        ],
    )


def test_damaged_files_are_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
    good = save(tmp_path / 'good.png', noise)

    def check(name, content):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=f'^image {path} cannot be read '):
            load(path)
        assert LoadImageFromFile(ignore_empty=True)(dict(img_path=str(path))) is None

    huge = huge_png(good.read_bytes())
    half = good.read_bytes()[: len(good.read_bytes()) // 2]
    check_each(
        check,
        [
            ('empty.png', b''),
            ('half.png', half),
            ('text.jpg', b'<html>not found</html>'),
            ('absent.jpg', None),
            ('huge.png', huge),
            ('halves.tif', tiff(np.linspace(0, 1, 16, dtype=np.float16), 1, 3)),
            ('five.tif', tiff(np.arange(160, dtype=np.uint8), 5)),
            # OpenCV takes the upper 8 of these 12 bits, without a word.
            ('grey_alpha.tif', tiff(np.linspace(0, 4095, 64, dtype='<u2'), 2)),
            ('grey_alpha_big.tif', tiff(np.linspace(0, 4095, 64, dtype='>u2'), 2)),
        ],
    )


def test_grey_with_alpha_of_eight_bits_is_read(tmp_path):
    path = tmp_path / 'a.tif'
    for values, channels in ((np.arange(64, dtype=np.uint8), 2), (GREY.ravel(), 1)):
        path.write_bytes(tiff(values, channels))
        assert load(path).shape == (values.size // channels // 4, 4, 3)
        np.testing.assert_array_equal(load(path), mmcv.imread(str(path)))


def test_every_config_of_mmdet_means_ours(tmp_path):
    """The name in a pipeline, and in the search of mmdet's own inferencer."""
    path = save(tmp_path / 'dark.tif', np.array([[0, 4095]], dtype=np.uint16))
    init_default_scope('mmdet')
    step = dict(type='LoadImageFromFile', backend_args=None)
    loaded = Compose([step])(dict(img_path=str(path)))
    assert loaded['img'].max() == 255
    loader = TRANSFORMS.build(dict(step, type='InferencerLoader'))
    assert isinstance(loader, InferencerLoader)
    assert loader(str(path))['img'].max() == 255
    assert DetInferencer._get_transform_idx(None, [step], ('LoadImageFromFile',)) == 0


def test_figures_show_what_the_model_sees(tmp_path):
    path = save(tmp_path / 'dark.tif', np.uint16(COLOUR) * 16)
    np.testing.assert_array_equal(read_image(str(path)), COLOUR[..., ::-1])


def test_arrays_become_what_their_files_would():
    """By hand: grey is repeated, alpha left out, of 12 bits the upper 8 are kept."""

    def check(name, given, expected):
        loader = TRANSFORMS.build(dict(type='InferencerLoader'))
        loaded = loader(given)
        assert loaded['img'].dtype == expected.dtype
        np.testing.assert_array_equal(loaded['img'], expected)
        assert loaded['img_shape'] == loaded['ori_shape'] == given.shape[:2]
        assert loaded['img_path'] is None

    grey = np.dstack([GREY] * 3)
    check_each(
        check,
        [
            ('grey', GREY, grey),
            ('grey with an axis', GREY[..., None], grey),
            ('grey and alpha', np.dstack([GREY, 255 - GREY]), grey),
            ('colour', COLOUR, COLOUR),
            ('colour and alpha', np.dstack([COLOUR, GREY]), COLOUR),
            ('of truth values', GREY > 99, np.uint8(grey > 99) * np.uint8(255)),
            ('12 bits', GREY.astype(np.uint16) << 4, grey),
            ('12 bits, colour', COLOUR.astype(np.uint16) << 4, COLOUR),
            ('whole numbers', COLOUR.astype(np.int64), COLOUR),
            ('floats', COLOUR / np.float32(3), COLOUR / np.float32(3)),
        ],
    )


def test_arrays_take_the_settings_of_the_step_for_files():
    loader = TRANSFORMS.build(
        dict(type='InferencerLoader', bits=12, to_float32=True, color_type='color')
    )
    loaded = loader(np.array([[0, 800]], dtype=np.uint16))['img']
    assert loaded.dtype == np.float32 and loaded[0, 1].tolist() == [800 >> 4] * 3


def test_arrays_that_are_no_images_are_refused():
    for shape in ((9,), (1, 9, 9, 3), (9, 9, 5), (0, 9)):
        with pytest.raises(ConfigError, match=f'shape .{shape[0]},.* is no image'):
            LoadImageFromNDArray()(dict(img=np.zeros(shape, np.uint8)))
    with pytest.raises(ConfigError, match='given as an array holds int64 from -3 to'):
        LoadImageFromNDArray()(dict(img=np.full((3, 3), -3)))
