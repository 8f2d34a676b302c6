"""What each format means in COCO's terms."""

import pytest
from PIL import Image

from annotation_files import SIZE, SUFFIX, labelme, shape, voc, voc_object

TRIANGLE = [[10, 10], [30, 10], [10, 50]]

# What stands in the file, and COCO's box by hand.
BOXES = {
    'voc: pixels 11 to 30 are 20 wide': (
        'voc',
        voc(voc_object((11, 21, 30, 60))),
        [10, 20, 20, 40],
    ),
    'voc: the whole image': (
        'voc',
        voc(voc_object((1, 1, 100, 80))),
        [0, 0, 100, 80],
    ),
    'voc: one pixel': ('voc', voc(voc_object((5, 5, 5, 5))), [4, 4, 1, 1]),
    'voc: fractions': (
        'voc',
        voc(voc_object((1.5, 2.25, 9, 9))),
        [0.5, 1.25, 8.5, 7.75],
    ),
    'yolo: box': ('yolo', '0 0.5 0.25 0.2 0.1\n', [40, 16, 20, 8]),
    'yolo: the whole image': ('yolo', '0 0.5 0.5 1 1', [0, 0, 100, 80]),
    'yolo: polygon': ('yolo', '0 0.1 0.125 0.3 0.125 0.1 0.625', [10, 10, 20, 40]),
    'labelme: polygon': ('labelme', labelme(shape(TRIANGLE)), [10, 10, 20, 40]),
    'labelme: rectangle from its lower right': (
        'labelme',
        labelme(shape([[30, 60], [10, 20]], 'rectangle')),
        [10, 20, 20, 40],
    ),
    'labelme: rectangle of four corners': (
        'labelme',
        labelme(shape([[10, 20], [30, 20], [30, 60], [10, 60]], 'rectangle')),
        [10, 20, 20, 40],
    ),
    'labelme: circle': (
        'labelme',
        labelme(shape([[50, 40], [53, 44]], 'circle')),
        [45, 35, 10, 10],
    ),
}


@pytest.mark.parametrize(('kind', 'content', 'box'), BOXES.values(), ids=list(BOXES))
def test_box_worked_out_by_hand(bench, kind, content, box):
    bench.write(f'a{SUFFIX[kind]}', content)
    document = bench.convert(kind, '--classes', 'cat,dog' if kind != 'yolo' else 'dog')
    assert document['images'] == [
        dict(id=1, file_name='a.png', width=SIZE[0], height=SIZE[1])
    ]
    (entry,) = document['annotations']
    assert entry['bbox'] == pytest.approx(box)
    names = {c['id']: c['name'] for c in document['categories']}
    assert names[entry['category_id']] == 'dog'
    assert (entry['image_id'], entry['iscrowd']) == (1, 0)
    outlined = kind == 'labelme' or len(content.split()) == 7
    assert ('segmentation' in entry) == (outlined and kind != 'voc')


def test_area_of_polygons_is_that_of_their_mask(bench):
    square = [[10, 10], [20, 10], [20, 30], [10, 30]]
    overlapping = [[15, 10], [40, 10], [40, 30], [15, 30]]
    bench.write(
        'a.json',
        labelme(
            shape(square),
            shape(square, label='two', group_id=3),
            shape(overlapping, label='two', group_id=3),
            shape([[50, 40], [60, 40]], 'circle', label='disc'),
            shape([[5, 5.4], [15, 5.4], [15, 5.41], [5, 5.41]], label='scratch'),
        ),
    )
    document = bench.convert('labelme')
    names = [c['name'] for c in document['categories']]
    assert names == ['disc', 'dog', 'scratch', 'two']
    entries = {names[e['category_id'] - 1]: e for e in document['annotations']}
    assert entries['dog']['area'] == 200
    assert entries['dog']['segmentation'] == [[10, 10, 20, 10, 20, 30, 10, 30]]
    assert entries['two']['area'] == 600  # 30 x 20: what they share counts once
    assert entries['two']['bbox'] == [10, 10, 30, 20]
    assert len(entries['two']['segmentation']) == 2
    assert entries['disc']['area'] == pytest.approx(314, rel=0.02)
    assert entries['scratch']['area'] == pytest.approx(0.1)


def test_shapes_without_a_group_or_of_other_classes_stay_apart(bench):
    cat = shape(TRIANGLE, label='cat', group_id=0)
    bench.write(
        'a.json',
        labelme(shape(TRIANGLE), shape(TRIANGLE), cat, shape(TRIANGLE, group_id=0)),
    )
    assert len(bench.convert('labelme')['annotations']) == 4


def test_parts_of_an_object_are_no_objects(bench):
    part = '<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax>'
    part += '<ymax>5</ymax></bndbox></part>'
    bench.write('a.xml', voc(voc_object((11, 21, 30, 60), 'person', part)))
    document = bench.convert('voc')
    assert [entry['bbox'] for entry in document['annotations']] == [[10, 20, 20, 40]]
    assert [entry['name'] for entry in document['categories']] == ['person']


def test_difficult_objects_are_kept_and_counted(bench, capsys):
    marks = ('<difficult>1</difficult>', '<difficult>0</difficult>', '<difficult/>')
    bench.write('a.xml', voc(*(voc_object((1, 1, 9, 9), inside=m) for m in marks)))
    assert [e['iscrowd'] for e in bench.convert('voc')['annotations']] == [0, 0, 0]
    assert "objects kept though marked 'difficult': 1" in capsys.readouterr().out


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'iso-8859-1'])
def test_xml_says_its_own_encoding(bench, encoding):
    named = encoding.removesuffix('-sig')
    text = (
        f'<?xml version="1.0" encoding="{named}"?>{voc(voc_object((1, 1, 9, 9), "é"))}'
    )
    bench.write('a.xml', text.encode(encoding))
    assert bench.convert('voc')['categories'] == [dict(id=1, name='é')]


def test_images_without_objects_are_kept_others_left_out(bench, capsys):
    bench.image('b.png')
    bench.write('a.txt', '\n')
    bench.write('classes.txt', 'cat\ndog\n')
    document = bench.convert('yolo')
    assert [image['file_name'] for image in document['images']] == ['a.png']
    assert document['annotations'] == []
    assert [entry['name'] for entry in document['categories']] == ['cat', 'dog']
    out = capsys.readouterr().out
    assert 'images    1 (1 without objects)' in out
    assert 'images left out, without a sound annotation file: 1' in out


@pytest.mark.parametrize('data', [None, 'iVBORw0KGgo=' * 1000])
@pytest.mark.parametrize(
    'written', ['a.png', '..\\images\\a.png', '../../a.png', 'C:\\x\\a.png', '/x/a.png']
)
def test_labelme_files_that_were_moved(bench, data, written):
    triangle = shape(TRIANGLE)
    del triangle['shape_type']  # as old versions
    content = labelme(triangle, image=written, imageData=data, lineColor=[0, 255, 0])
    bench.write('a.json', content)
    document = bench.convert('labelme')
    assert document['images'][0]['file_name'] == 'a.png'
    assert document['annotations'][0]['bbox'] == [10, 10, 20, 40]


@pytest.mark.parametrize('filename', ['a', 'a.png', 'a.bmp', '', 'C:\\x\\before.png'])
def test_voc_names_its_image_in_many_ways(bench, filename):
    bench.write('a.xml', voc(filename=filename, size=(0, 0)))
    document = bench.convert('voc', '--classes', 'dog')
    assert document['images'][0]['file_name'] == 'a.png'


def test_the_name_of_the_file_counts_more_than_the_name_inside(bench, capsys):
    bench.image('b.png', (7, 9))
    bench.write('a.xml', voc(filename='b.png'))
    document = bench.convert('voc', '--classes', 'dog')
    assert [image['file_name'] for image in document['images']] == ['a.png']
    assert 'another image inside; their own was used: 1' in capsys.readouterr().out


def test_the_name_inside_chooses_among_images_that_differ_in_suffix(bench):
    bench.image('a.bmp')
    bench.write('a.xml', voc(filename='a.bmp'))
    bench.write('other.json', labelme(image='a.png'))
    for kind, name in (('voc', 'a.bmp'), ('labelme', 'a.png')):
        document = bench.convert(kind, '--classes', 'dog')
        assert document['images'][0]['file_name'] == name
        bench.out.unlink()


def test_the_image_in_the_same_sub_folder_comes_first(bench):
    bench.image('left/a.png', (7, 9))
    bench.write('left/a.xml', voc(size=(7, 9)))
    document = bench.convert('voc', '--classes', 'dog')
    assert document['images'][0]['file_name'] == 'left/a.png'


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
def test_size_is_that_of_the_image_as_it_is_shown(bench, suffix):
    lying = Image.Exif()
    lying[0x0112] = 6
    bench.image(f'b.{suffix}', (60, 40), exif=lying)
    bench.write('b.txt', '0 0.5 0.5 0.5 0.5')
    document = bench.convert('yolo', '--classes', 'dog')
    assert document['images'][0] | dict(id=0) == dict(
        id=0, file_name=f'b.{suffix}', width=40, height=60
    )
    assert document['annotations'][0]['bbox'] == [10, 15, 20, 30]


@pytest.mark.parametrize(
    ('kind', 'content', 'box'),
    [
        ('voc', voc(voc_object((0, 0, 100, 80))), [0, 0, 100, 80]),
        ('voc', voc(voc_object((50, 50, 101, 81))), [49, 49, 51, 31]),
        ('labelme', labelme(shape([[-1, 5], [9, 5], [9, 80.5]])), [0, 5, 9, 75]),
    ],
)
def test_an_overshoot_of_a_pixel_is_clipped_and_counted(
    bench, capsys, kind, content, box
):
    bench.write(f'a{SUFFIX[kind]}', content)
    (entry,) = bench.convert(kind)['annotations']
    assert entry['bbox'] == box
    assert (
        'objects clipped, as they stuck out by at most a pixel: 1'
        in capsys.readouterr().out
    )
    for polygon in entry.get('segmentation', ()):
        assert min(polygon) >= 0 and max(polygon[1::2]) <= SIZE[1]


def test_rounding_to_six_decimals_is_not_called_clipping(bench, capsys):
    bench.write('a.txt', '0 0.500001 0.5 1.0 1.0')
    (entry,) = bench.convert('yolo', '--classes', 'dog')['annotations']
    assert entry['bbox'] == pytest.approx([0, 0, 100, 80], abs=1e-3)
    assert 'clipped' not in capsys.readouterr().out
