"""One annotation file an image: the folders, and what stands in the files."""

import base64
import io
import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from PIL import Image
from pycocotools import mask as coco_mask

from annotation_files import DOG, SIZE, labelme, shape, voc
from check_each import check_each
from data_folders import (
    expected,
    image,
    labelme_beside,
    objects,
    put,
    voc_beside,
    voc_kit,
    voc_two_folders,
)


def test_trainval_is_train_where_there_is_no_train(folder, opened):
    voc_kit(folder)
    lists = folder / 'ImageSets/Main'
    lists.joinpath('train.txt').rename(lists / 'trainval.txt')
    data = opened()
    assert objects(data, ['train']) == expected('train')


def test_files_in_no_list_are_told(folder, opened):
    voc_kit(folder)
    opened()
    put(folder / 'ImageSets/Main/train.txt', 'one\n')
    data = opened()
    assert {name for name, *_ in objects(data, ['train'])} == {'one.png'}
    assert '3 .xml files are in no list of ImageSets; left out.' in data.notes


def test_lists_that_name_what_is_not_annotated(folder, opened, sentence):
    voc_kit(folder)
    put(folder / 'ImageSets/Main/test.txt', 'x\ny\n')
    assert 'test: none of its 2 images is annotated; left out.' in opened().notes
    put(folder / 'ImageSets/Main/val.txt', 'five\nx\n')
    assert 'val.txt names x, of which there is neither an image' in sentence()


def test_lists_with_quotes_and_endings(folder, opened):
    voc_kit(folder)
    lists = folder / 'ImageSets/Main'
    put(lists / 'train.txt', '"one.png"\ntwo.jpg\n\'three\'\nfour.xml\n')
    put(lists / 'val.txt', 'five.v1\n"six"\n')
    for place, ending in (('JPEGImages', 'png'), ('Annotations', 'xml')):
        (folder / place / f'five.{ending}').rename(folder / place / f'five.v1.{ending}')
    data = opened()
    assert objects(data, ['train']) == expected('train')
    assert {name for name, *_ in objects(data, ['val'])} == {'five.v1.png', 'six.jpg'}


def test_a_number_that_is_none_is_named(folder, sentence):
    """Python writes NaN into JSON, which strict readers refuse."""
    labelme_beside(folder)
    points = [[float('nan'), 1], [5, 5]]
    for name in folder.glob('*.json'):
        put(name, labelme(shape(points, 'rectangle'), image=f'{name.stem}.png'))
    assert 'shape 1 (dog): an x is nan, where a number is needed' in sentence()


def test_what_is_not_annotated_is_told(folder, opened):
    voc_beside(folder)
    image(folder / 'bare.png', (10, 10))
    assert '1 images have no annotation file; left out.' in opened().notes


def test_the_folder_of_the_images_is_told(folder, opened):
    voc_two_folders(folder)
    assert 'The images of annotations are in images.' in opened().notes


def test_other_files_are_no_annotations(folder, opened):
    labelme_beside(folder)
    put(folder / 'backup/settings.json', dict(theme='dark'))
    put(folder / 'project.xml', '<project/>')
    put(folder / '__MACOSX/._one.json', 'AppleDouble')
    put(folder / '.cache/one.json', labelme())
    assert objects(opened()) == expected()


def test_what_is_broken_is_named_and_can_be_left_out(folder, opened, sentence):
    voc_beside(folder)
    put(folder / 'one.xml', voc(DOG, size=(1, 1)))
    text = sentence()
    assert 'one.xml: it was made for an image of 1 x 1 pixels' in text
    assert text.endswith('--skip-broken of tools/dataset/prepare.py.')
    data = opened(skip_broken=True)
    assert 'one.png' not in {name for name, *_ in objects(data)}
    assert any('skipped, other image size: 1, e.g.' in note for note in data.notes)


def test_a_folder_without_objects_has_no_classes(folder, sentence):
    for name in 'ab':
        image(folder / f'{name}.png', SIZE)
        put(folder / f'{name}.xml', voc(filename=f'{name}.png'))
    assert 'holds no object' in sentence()


def png(mask):
    content = io.BytesIO()
    Image.fromarray(mask).save(content, 'PNG')
    return base64.b64encode(content.getvalue()).decode()


def masked(points, mask, **fields):
    return shape(points, 'mask', mask=png(mask), **fields)


def convert(bench, *shapes):
    bench.write('a.json', labelme(*shapes))
    bench.out.unlink(missing_ok=True)
    (entry,) = bench.convert('labelme')['annotations']
    return entry


@pytest.mark.parametrize('kind', ['oriented_rectangle', 'rotation', 'quadrilateral'])
def test_turned_boxes_are_polygons(bench, kind):
    corners = [[30, 4], [54, 20], [30, 36], [6, 20]]
    entry = convert(bench, shape(corners, kind, direction=0.5))
    assert entry['bbox'] == [6, 4, 48, 32]
    assert entry['segmentation'] == [[30, 4, 54, 20, 30, 36, 6, 20]]


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3)])
def test_a_rectangle_of_four_turned_corners_keeps_them(bench, order):
    corners = [[30, 4], [54, 20], [30, 36], [6, 20]]
    entry = convert(bench, shape([corners[i] for i in order], 'rectangle'))
    assert entry['bbox'] == [6, 4, 48, 32]
    (found,) = entry['segmentation']
    around = found.index(30) // 2 if found[1] == 4 else 1
    pairs = list(zip(found[0::2], found[1::2], strict=True))
    assert pairs[around:] + pairs[:around] == [tuple(corner) for corner in corners]
    upright = [[10, 10], [30, 10], [30, 20], [10, 20]]
    entry = convert(bench, shape([upright[i] for i in order], 'rectangle'))
    assert entry['segmentation'] == [[10, 10, 30, 10, 30, 20, 10, 20]]


def test_a_turned_box_is_cut_off_at_the_border(bench, capsys):
    corners = [[0, -20], [20, 20], [0, 60], [-20, 20]]
    entry = convert(bench, shape(corners, 'rotation'))
    assert entry['bbox'] == [0, 0, 20, 60]
    assert 'cut off at the border of the image: 1' in capsys.readouterr().out


@pytest.mark.parametrize('last', [(14, 22), (13, 21)])
@pytest.mark.parametrize('value', [1, 255, True])
def test_a_mask_is_drawn_from_its_first_point_on(bench, last, value):
    """4 x 2 pixels from (10, 20), of which the first column is empty."""
    mask = np.array([[0, 1, 1, 1], [0, 0, 0, 1]], np.uint8) * value
    mask = mask.astype(bool) if value is True else mask
    entry = convert(bench, masked([[10.4, 20.9], list(last)], mask))
    whole = np.zeros((80, 100), np.uint8)
    whole[20, 11:14] = whole[21, 13] = 1
    assert (coco_mask.decode(entry['segmentation']) == whole).all()
    dataset = CocoDataset(
        ann_file=str(bench.out),
        data_prefix=dict(img=f'{bench.images}/'),
        metainfo=dict(classes=('dog',)),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        ],
    )
    (drawn,) = dataset[0]['gt_masks'].masks
    assert (drawn == whole).all()
    assert (entry['bbox'], entry['area']) == ([11, 20, 3, 2], 4)


def test_a_mask_and_a_polygon_of_one_group_are_one_object(bench):
    square = [[50, 50], [60, 50], [60, 60], [50, 60]]
    entry = convert(
        bench,
        masked([[0, 0], [1, 1]], np.ones((2, 2), np.uint8), group_id=1),
        shape(square, group_id=1),
    )
    assert (entry['bbox'], entry['area']) == ([0, 0, 60, 60], 104)


@pytest.mark.parametrize('x', [200, 95])
def test_a_polygon_outside_the_image_is_refused_beside_a_mask_too(bench, capsys, x):
    bench.write(
        'a.json',
        labelme(
            masked([[0, 0], [1, 1]], np.ones((2, 2), np.uint8), group_id=1),
            shape([[x, 50], [x + 10, 50], [x, 60]], group_id=1),
        ),
    )
    assert bench.run('labelme') == 2
    text = capsys.readouterr().err
    assert 'a.json: shapes 1, 2 (dog): the box from' in text and 'sticks out' in text


def test_masks_that_cannot_be_drawn(bench, capsys):
    ones = np.ones((4, 4), np.uint8)

    def check(entry, words):
        bench.write('a.json', labelme(entry))
        assert bench.run('labelme') == 2
        text = capsys.readouterr().err
        assert 'a.json: shape 1 (dog): ' in text and words in text

    corners = [[10, 10], [13, 13]]
    check_each(
        check,
        [
            (shape(corners, 'mask'), 'no PNG in base64'),
            (shape(corners, 'mask', mask='%'), 'no PNG in base64'),
            (shape(corners, 'mask', mask='AAAA'), 'no PNG in base64'),
            (shape(corners, 'mask', mask=[1]), 'no PNG in base64'),
            (masked([[10, 10]], ones), 'has 4 x 4 pixels'),
            (masked([[10, 10], [20, 20]], ones), 'has 4 x 4 pixels'),
            (masked([[98, 10], [101, 13]], ones), 'sticks out'),
            (masked([[-2, 10], [1, 13]], ones), 'sticks out'),
            (masked(corners, ones * 0), 'no positive width'),
        ],
    )


def test_a_list_of_images_holds_no_labels(bench):
    """As CVAT's train.txt, in one folder with the labels."""
    bench.write('labels/a.txt', '0 .5 .5 .1 .1')
    bench.write('train.txt', 'data/obj_train_data/a.png\n')
    bench.write('obj.names', 'dog\n')
    document = bench.convert('yolo')
    assert [entry['file_name'] for entry in document['images']] == ['a.png']
    assert [entry['name'] for entry in document['categories']] == ['dog']


def test_key_points_are_known_beside_the_labels_too(bench, capsys):
    bench.write('data.yaml', 'names: [dog]\nkpt_shape: [3, 2]\n')
    bench.write('a.txt', '0 0.25 0.5 0.3 0.25 .1 .1 .2 .2 .3 .3\n')
    (entry,) = bench.convert('yolo')['annotations']
    assert entry['bbox'] == [10, 30, 30, 20] and 'segmentation' not in entry
    assert 'key points were left out: 1' in capsys.readouterr().out
    bench.out.unlink()
    (entry,) = bench.convert('yolo', '--classes', 'cat')['annotations']
    assert entry['bbox'] == [10, 30, 30, 20]
    assert json.loads(bench.out.read_text())['info'] == {}
