"""Folders of YOLO labels: what their data files name, and what their rows are."""

import json

import pytest

from check_each import check_each
from data_folders import (
    CLASSES,
    expected,
    image,
    objects,
    put,
    yolo_beside,
    yolo_lists,
    yolo_plain,
    yolo_roboflow,
    yolo_ultralytics,
)

NAMES = 'names: [hex bolt, nut, "7"]\n'


def data_yaml(folder, train='images/train', val='images/val', extra=''):
    put(folder / 'data.yaml', f'train: {train}\nval: {val}\n{NAMES}{extra}')


def test_paths_written_for_another_place(folder, opened):
    yolo_ultralytics(folder)

    def check(written):
        data_yaml(folder, written)
        assert objects(opened()) == expected()

    check_each(
        check,
        [
            'images/train',
            './images/train/',
            '../images/train',
            '/content/mine/images/train',
            '"C:\\\\mine\\\\images\\\\train"',
            str(folder / 'images/train'),
            '[images/train]',
            '[images/train/one.png, images/train/two.jpg, images/train/three.png, '
            'images/train/four.png]',
        ],
    )


def test_paths_that_lead_nowhere_or_away(folder, tmp_path, sentence):
    yolo_ultralytics(folder)
    image(tmp_path / 'away/one.png', (10, 10))

    def check(written, words):
        data_yaml(folder, written)
        assert words in sentence()

    missing = 'as train images, which is not in'
    check_each(
        check,
        [
            ('../valid/images', missing),
            ('../away', missing),
            (str(tmp_path / 'away'), missing),
            ('/etc/passwd', missing),
            ('..', missing),
            ('labels/train', 'but no image is there'),
            ('{a: b}', 'neither a path nor a list'),
            ('[[a]]', 'neither a path nor a list'),
        ],
    )
    data_yaml(folder, 'train.txt')
    put(folder / 'train.txt', f'images/train/one.png\n{tmp_path}/away/seven.png\n')
    text = sentence()
    assert 'train.txt, line 2: the image' in text and 'is not in' in text


def test_a_root_elsewhere_is_used_if_it_exists_and_told(folder, tmp_path, opened):
    yolo_ultralytics(tmp_path / 'elsewhere')
    data_yaml(folder, extra='path: ../elsewhere\n')
    data = opened()
    assert objects(data) == expected()
    assert data.splits['val'].images == (tmp_path / 'elsewhere').resolve()
    told = f'data.yaml names another folder, {(tmp_path / "elsewhere").resolve()}; '
    assert f'{told}it is used.' in data.notes


def test_a_root_that_is_not_here_is_told(folder, opened):
    yolo_ultralytics(folder)
    note = 'data.yaml names the folder ../datasets/mine, which is not here; its own '
    assert note + 'folder is used.' in opened().notes


def test_images_without_labels(folder, opened):
    """In a list they have no objects, otherwise they are not yet annotated."""
    yolo_ultralytics(folder)
    image(folder / 'images/train/bare.png', (10, 10))
    data = opened()
    assert objects(data) == expected() | {('bare.png', None, None)}
    note = 'train: 1 images have no label file, e.g. images/train/bare.png; taken as '
    assert note + 'images without objects.' in data.notes


def test_images_not_yet_annotated_are_left_out(folder, opened):
    yolo_plain(folder)
    image(folder / 'images/bare.png', (10, 10))
    put(folder / 'labels/alone.txt', '')
    data = opened()
    assert objects(data) == expected()
    notes = ' '.join(data.notes)
    assert '1 images have no label file, e.g. images/bare.png; left out.' in notes
    assert '1 label files belong to no image, e.g. labels/alone.txt' in notes


def test_a_test_split_without_labels_is_left_out(folder, opened):
    yolo_roboflow(folder)
    for path in (folder / 'test/labels').iterdir():
        path.unlink()
    data = opened()
    assert set(data.splits) == {'train', 'val'}
    assert 'test: none of its 2 images has labels; left out.' in data.notes


def test_labels_that_are_nowhere(folder, sentence):
    yolo_ultralytics(folder)
    for path in (folder / 'labels/train').iterdir():
        path.unlink()
    assert 'has no labels for its 4 train images' in sentence()


def test_classes_of_each_place_must_agree(folder, opened, sentence):
    for split in ('train', 'valid'):
        yolo_beside(folder / split)
    assert opened().classes == CLASSES
    put(folder / 'valid/classes.txt', 'nut\nhex bolt\n7\n')
    assert 'name other classes' in sentence()


def test_data_files_that_contradict_themselves(folder, sentence):
    yolo_ultralytics(folder)

    def check(extra, words):
        data_yaml(folder, extra=extra)
        text = sentence()
        assert 'data.yaml' in text and words in text

    check_each(
        check,
        [
            ('nc: 4\n', 'says `nc: 4`, but has 3 `names`'),
            ('kpt_shape: 3\n', '`kpt_shape` is no pair'),
            ('kpt_shape: [-1, 2]\n', '`kpt_shape` is no pair'),
            ('path: [a]\n', '`path` is no folder'),
            ('validation: images/val\n', 'names its val images twice'),
            ('a: [', 'not readable as YAML'),
        ],
    )


def test_two_data_files(folder, sentence):
    yolo_lists(folder)
    put(folder / 'old.yaml', NAMES)
    put(folder / 'hyp.yaml', 'lr0: 0.01\n')
    assert 'holds mine.yaml and old.yaml, each with class `names`' in sentence()


def entries(data):
    found = []
    for split in data.splits.values():
        document = json.loads(split.ann_file.read_text())
        names = {i['id']: i['file_name'] for i in document['images']}
        found += [(names[e['image_id']], e) for e in document['annotations']]
    return dict(sorted(found, key=lambda item: item[0]))


@pytest.mark.parametrize(
    ('shape', 'points'),
    [('[3, 2]', '.1 .1 .2 .2 .3 .3'), ('[2, 3]', '.1 .1 2 .2 .2 0'), ('[1, 2]', '0 0')],
)
def test_rows_with_key_points_are_boxes(folder, opened, shape, points):
    for name in 'ab':
        image(folder / f'images/{name}.png', (100, 80))
        put(folder / f'labels/{name}.txt', f'1 0.25 0.5 0.3 0.25 {points}\n')
    put(folder / 'data.yaml', f'train: images\n{NAMES}kpt_shape: {shape}\n')
    data = opened()
    for entry in entries(data).values():
        # 0.25 x 100 - 0.3 x 100 / 2 and 0.5 x 80 - 0.25 x 80 / 2
        assert entry['bbox'] == [10, 30, 30, 20] and entry['area'] == 600
        assert entry['category_id'] == 2 and 'segmentation' not in entry
    assert 'train: objects whose key points were left out: 2.' in data.notes


def test_rows_of_another_length_than_the_key_points_ask_for(folder, opened, sentence):
    image(folder / 'images/a.png', (100, 80))
    image(folder / 'images/b.png', (100, 80))
    put(folder / 'labels/a.txt', '')
    put(folder / 'labels/b.txt', '0 .5 .5 .1 .1\n')
    put(folder / 'data.yaml', f'train: images\n{NAMES}kpt_shape: [3, 2]\n')
    text = sentence()
    assert (
        'b.txt: line 1: it has 5 values, where `kpt_shape` asks for 5 + 3 x 2' in text
    )
    assert 'prepare.py' in text
    assert any('skipped, bad line: 1' in n for n in opened(skip_broken=True).notes)


def test_turned_boxes_are_polygons_with_the_box_around_them(folder, opened):
    yolo_ultralytics(folder)
    put(folder / 'labels/train/three.txt', '0 .5 .1 .9 .5 .5 .9 .1 .5\n')
    entry = entries(opened())['images/train/three.png']
    # A diamond in 60 x 40: corners (30, 4), (54, 20), (30, 36), (6, 20).
    assert entry['bbox'] == pytest.approx([6, 4, 48, 32])
    assert entry['segmentation'] == [[30, 4, 54, 20, 30, 36, 6, 20]]
    assert entry['area'] == pytest.approx(48 * 32 / 2, rel=0.05)


def test_turned_boxes_alone_are_boxes(folder, opened):
    """All rows have four corners, or the data file says so."""
    lay_turned(folder, a='0 .5 .1 .9 .5 .5 .9 .1 .5\n', b='')
    data = opened()
    assert 'turned boxes read as the boxes around them: 1' in ' '.join(data.notes)
    (entry,) = entries(data).values()
    # A diamond in 100 x 80: corners (50, 8), (90, 40), (50, 72), (10, 40).
    assert entry['bbox'] == [10, 8, 80, 64] and entry['area'] == 80 * 64
    assert 'segmentation' not in entry
    lay_turned(folder, a='0 .5 .1 .9 .5 .5 .9 .1 .5\n', b='0 .5 .5 .1 .1\n')
    assert 'segmentation' in entries(opened())['images/a.png']
    put(folder / 'data.yaml', f'train: images\n{NAMES}task: obb\n')
    assert not any('segmentation' in entry for entry in entries(opened()).values())


def lay_turned(folder, **rows):
    for name, lines in rows.items():
        image(folder / f'images/{name}.png', (100, 80))
        put(folder / f'labels/{name}.txt', lines)
    put(folder / 'data.yaml', f'train: images\n{NAMES}')


@pytest.mark.parametrize('other', ['', '0 .5 .5 .1 .1\n'])
def test_turned_boxes_are_cut_off_at_the_border(folder, opened, sentence, other):
    # Corners (-20, 40), (20, 0), (60, 40), (20, 80): x = 0 cuts it at 20 and 60.
    lay_turned(folder, a='0 -.2 .5 .2 0 .6 .5 .2 1\n', b=other)
    data = opened()
    told = 'shapes of four corners cut off at the border of the image: 1'
    assert told in ' '.join(data.notes)
    entry = entries(data)['images/a.png']
    assert entry['bbox'] == [0, 0, 60, 80]
    if other:
        assert entry['area'] == pytest.approx(80 * 80 / 2 - 40 * 20 / 2, rel=0.05)
        (corners,) = entry['segmentation']
        pairs = set(zip(corners[0::2], corners[1::2], strict=True))
        assert pairs == {(0, 20), (20, 0), (60, 40), (20, 80), (0, 60)}
    # Its upper corner is outside: the box is that of the part inside.
    lay_turned(folder, a='0 .2 -.25 .4 .25 .2 .75 0 .25\n', b=other)
    assert entries(opened())['images/a.png']['bbox'] == [0, 0, 40, 60]
    lay_turned(folder, a='0 -.4 .1 -.2 .2 -.3 .4 -.5 .3\n', b=other)
    assert 'a.txt: line 1: the box from (-50, 8) to (-20, 32) is out' in sentence()


def test_a_data_file_is_sought_before_a_list_of_classes(folder, opened):
    """`classes.txt` among the labels of a data set with key points, in a folder."""
    for name in 'ab':
        image(folder / f'mine/images/{name}.png', (100, 80))
        row = '1 0.25 0.5 0.3 0.25 .1 .1 .2 .2\n'
        put(folder / f'mine/labels/{name}.txt', row)
    put(folder / 'mine/labels/classes.txt', '\n'.join(CLASSES))
    put(folder / 'mine/data.yaml', f'train: images\n{NAMES}kpt_shape: [2, 2]\n')
    data = opened()
    assert [e['bbox'] for e in entries(data).values()] == [[10, 30, 30, 20]] * 2
    assert data.splits['train'].images == folder / 'mine'


def test_two_data_files_in_folders(folder, sentence):
    for name in 'ab':
        yolo_ultralytics(folder / name)
    assert 'holds a/data.yaml and b/data.yaml; name the folder of one' in sentence()


def test_what_a_data_file_leaves_empty_is_not_there(folder, opened):
    def check(nothing):
        yolo_ultralytics(folder)
        keys = ''.join(f'{key}: {nothing}\n' for key in ('path', 'kpt_shape', 'nc'))
        data_yaml(folder, val=nothing, extra=f'test: {nothing}\n{keys}')
        data = opened()
        assert objects(data) == expected('train')
        assert any('There is no val split' in note for note in data.notes)

    check_each(check, ['null', '~', '', '""', 'Null'])
