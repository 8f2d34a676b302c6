"""Segmentations against what pycocotools makes of them."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from check_each import check_each
from coco_file import faults, sound, use, write
from mmdet_qrpaq.annotations import find_mends, read_annotations, write_mended
from mmdet_qrpaq.annotations.masks import area_of, counts_of, fault_of

SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]
SIZE = np.array([64.0, 48.0])
PIXELS = 64 * 48
# A segmentation for an image of 64 x 48 pixels -> what is said of it.
BROKEN = [
    (None, 'missing or empty'),
    ([], 'missing or empty'),
    ({}, 'missing or empty'),
    ('', 'missing or empty'),
    ([[]], 'no polygon of 3 corners or more'),
    (SQUARE, 'a list of numbers where a list of polygons'),
    ([[1, 1, 5, 5]], 'no polygon of 3 corners or more'),
    ([[5, 5]], 'no polygon of 3 corners or more'),
    ([[0, 0, 10, 0, 10, 10, 5]], 'odd number of values'),
    ([[0, 0, float('nan'), 0, 10, 10]], 'no number'),
    ([['0', 0, 10, 0, 10, 10]], 'no number'),
    ('0:f10', 'neither polygons nor RLE'),
    ([[0, 0, 1e9, 0, 1e9, 1e9]], 'a corner far outside of its image'),
    (dict(size=[48, 64]), 'RLE without counts'),
    (dict(counts=[0, PIXELS]), 'RLE of None and not of the height and width'),
    (dict(size=[64, 48], counts=[0, PIXELS]), 'RLE of [64, 48] and not of'),
    (dict(size=[48, 64], counts=[0, 100]), 'RLE whose counts are not those'),
    (dict(size=[48, 64], counts=[-1, PIXELS + 1]), 'RLE whose counts are not'),
    (dict(size=[48, 64], counts=['0', PIXELS]), 'RLE whose counts are not'),
    *[
        (dict(size=[48, 64], counts=counts), 'RLE whose counts are not')
        for counts in ('abc', 'o', '~~~~~~', 'P' * 19, 'Pd0', '0', '\n', 'é', '00T')
    ],
]


def rle(height, width, area):
    flat = np.zeros(height * width, np.uint8)
    flat[:area] = 1
    found = coco_mask.encode(np.asfortranarray(flat.reshape(height, width)))
    return dict(size=found['size'], counts=found['counts'].decode())


def with_mask(segmentation):
    coco = sound()
    coco['annotations'][2]['segmentation'] = segmentation
    return coco


def test_what_is_no_mask_is_named(tmp_path):
    def check(segmentation, expected):
        coco = with_mask(segmentation)
        told = faults(tmp_path, coco, masks=True)['mask']
        assert 'annotation 13 in image b.png: its segmentation' in told
        assert expected in told
        judged = faults(tmp_path, coco, masks=True, learned=False, judged=True)
        assert expected in judged['mask']
        assert faults(tmp_path, coco) == {}  # boxes need no masks

    check_each(check, BROKEN)


def test_masks_of_an_image_whose_size_is_filled_in_are_sound(tmp_path):
    coco = sound()
    del coco['images'][0]['width']
    assert faults(tmp_path, coco, masks=True) == {}


def test_areas_are_those_of_the_masks():
    def check(segmentation, area):
        assert fault_of(segmentation, SIZE) is None
        assert area_of(segmentation, SIZE) == area

    check_each(
        check,
        [
            ([SQUARE], 100),
            ([SQUARE, [20, 20, 30, 20, 30, 30, 20, 30]], 200),
            ([[1, 1, 5, 5], SQUARE], 100),
            (dict(size=[48, 64], counts=[5, 7, PIXELS - 12]), 7),
            (rle(48, 64, 20), 20),
        ],
    )


def test_compressed_counts_are_those_that_pycocotools_wrote():
    rng = np.random.default_rng(0)
    for density in (0, 0.01, 0.5, 0.99, 1):
        mask = rng.random((37, 1301)) < density
        mask[:, 100:900] = False  # a long run, and long differences
        found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        flat = mask.T.ravel()
        turns = np.flatnonzero(np.diff(flat.astype(int))) + 1
        edges = [0, *turns.tolist(), flat.size]
        runs = np.diff([0, *edges] if flat[0] else edges).tolist()
        assert counts_of(found['counts'].decode()) == runs


def test_the_area_of_broken_counts_is_that_of_the_box(tmp_path):
    coco = with_mask(dict(size=[48, 64], counts='abc'))
    del coco['annotations'][2]['area']
    path = write(tmp_path, coco)
    mends = find_mends(read_annotations(path), use(tmp_path))
    write_mended(path, mends, tmp_path / 'copy.json')
    copy = json.loads((tmp_path / 'copy.json').read_text())
    assert copy['annotations'][2]['area'] == PIXELS


def test_pycocotools_takes_two_corners_that_come_first_for_a_box():
    with pytest.raises(TypeError, match="Argument 'bb' has incorrect type"):
        coco_mask.frPyObjects([[1, 1, 5, 5], SQUARE], 48, 64)
    # It does not look at the size of RLE: such a mask is never met.
    sizes = ([48, 64], [64, 48])
    whole = [coco_mask.frPyObjects(dict(size=s, counts=[0, PIXELS]), *s) for s in sizes]
    assert coco_mask.iou(whole[:1], whole[1:], [0]) == -1


def test_two_corners_beside_a_polygon_are_left_out(tmp_path):
    coco = with_mask([[1, 1, 5, 5], SQUARE, [3, 3]])
    assert faults(tmp_path, coco, masks=True) == {}
    found = read_annotations(write(tmp_path, coco))
    assert find_mends(found, use(tmp_path)) == []
    (mend,) = find_mends(found, use(tmp_path, masks=True))
    assert mend.kind == 'polygons'
    mend.apply(coco)
    assert coco['annotations'][2]['segmentation'] == [SQUARE]


def test_what_upstream_leaves_out_needs_no_mask_and_crowds_do(tmp_path):
    coco = with_mask([])
    coco['annotations'][2]['area'] = 0
    assert 'mask' not in faults(tmp_path, coco, masks=True)
    coco['annotations'][2] |= dict(area=9, iscrowd=1)
    assert 'mask' in faults(tmp_path, coco, masks=True)
