"""Which files words mean, their names, and the ids of an annotation file."""

import json
from pathlib import Path

import pytest
from PIL import Image

from check_each import check_each
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.prediction.inputs import Ids, find_inputs, ids_of

FILES = ('a/1.png', 'a/deep/1.JPG', 'a/notes.txt', 'a/loop.gif', 'b/1.png', 'b/c.mp4')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_names_are_below_what_inputs_share(folder):
    def check(words, names, skipped):
        found, others = find_inputs([str(folder / word) for word in words])
        assert [one.name for one in found] == names and others == skipped
        assert all(one.path.is_file() for one in found)

    check_each(
        check,
        [
            (['a'], ['1.png', 'deep/1.JPG', 'loop.gif'], 1),
            (['a/1.png'], ['1.png'], 0),
            (['a/1.png', 'b/1.png'], ['a/1.png', 'b/1.png'], 0),
            (
                ['b', 'a'],
                ['b/1.png', 'b/c.mp4', 'a/1.png', 'a/deep/1.JPG', 'a/loop.gif'],
                1,
            ),
            (['a/1.png', 'a'], ['1.png', 'deep/1.JPG', 'loop.gif'], 1),
            (['a/deep/1.JPG', 'a/1.png'], ['deep/1.JPG', '1.png'], 0),
            (['a/loop.gif'], ['loop.gif'], 0),
        ],
    )
    found, _ = find_inputs([str(folder / 'b')])
    assert [one.is_video for one in found] == [False, True]


def test_words_that_mean_nothing_are_refused(folder):
    (folder / 'empty').mkdir()
    for word, told in (('absent', 'does not exist'), ('empty', 'holds no image')):
        with pytest.raises(ConfigError, match=f'{word} {told}'):
            find_inputs([str(folder / word)])


def test_two_that_would_be_drawn_into_one_file_are_refused(tmp_path):
    for names in (('a.gif', 'a.gif.png'), ('x.avi', 'x.avi.mp4')):
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.touch()
        with pytest.raises(ConfigError, match=f'both be drawn as {names[1]}'):
            find_inputs(map(str, paths))


def coco(folder: Path, names, classes=('cat', 'dog')) -> str:
    """Ids have gaps: images 10, 20, ..., categories 7, 14, ..."""
    path = folder / 'coco.json'
    content = dict(
        images=[dict(id=10 * i, file_name=n) for i, n in enumerate(names, 1)],
        categories=[dict(id=7 * i, name=n) for i, n in enumerate(classes, 1)],
    )
    path.write_text(json.dumps(content))
    return str(path)


def test_ids_are_those_of_the_file_and_inputs_in_its_order(folder):
    (folder / 'a/loop.gif').unlink()
    inputs, _ = find_inputs([str(folder / 'a'), str(folder / 'b/1.png')])
    names = ['deep/1.JPG', 'b/1.png', 'other.png', '1.png']
    found, ids = ids_of(inputs, ('dog', 'cat'), coco(folder, names))
    assert [one.name for one in found] == ['a/deep/1.JPG', 'b/1.png', 'a/1.png']
    assert ids == Ids([14, 7], [10, 20, 40])
    assert ids_of(inputs, ('dog', 'cat'), None) == (inputs, Ids([1, 2]))


def test_an_image_has_the_size_that_is_listed(tmp_path):
    """As it is shown or as it is stored; a file may also list none."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('L', (30, 20)).save(tmp_path / 'a.jpg', exif=exif)
    Image.new('L', (30, 20)).save(tmp_path / 'b.jpg')
    path = tmp_path / 'coco.json'

    def listed(name, size):
        image = dict(id=3, file_name=name, **size)
        categories = [dict(id=1, name='cat')]
        path.write_text(json.dumps(dict(images=[image], categories=categories)))
        inputs, _ = find_inputs([str(tmp_path / name)])
        return ids_of(inputs, ('cat',), str(path))[1].images

    flat, tall = dict(width=30, height=20), dict(width=20, height=30)
    for name, size in (
        *(('a.jpg', flat), ('a.jpg', tall), ('a.jpg', {})),
        *(('b.jpg', flat), ('b.jpg', dict(width=30))),
    ):
        assert listed(name, size) == [3]
    for name, size, told in (
        ('a.jpg', dict(width=40, height=20), '40 x 20 pixels .* has 20 x 30'),
        ('b.jpg', tall, '20 x 30 pixels .* has 30 x 20'),
    ):
        with pytest.raises(ConfigError, match=told):
            listed(name, size)


def test_files_that_do_not_fit_are_refused(folder):
    def check(words, names, classes, told):
        inputs, _ = find_inputs([str(folder / word) for word in words])
        with pytest.raises(ConfigError, match=told):
            ids_of(inputs, ('cat',), coco(folder, names, classes))

    check_each(
        check,
        [
            (['a'], ['1.png', 'loop.gif'], ['cat'], 'lists no .*a/deep/1.JPG'),
            (['a/1.png', 'b/1.png'], ['1.png'], ['cat'], 'both .*a/1.png and .*b/1'),
            (['a/1.png'], ['x.png', '1.png', '1.png'], ['cat'], '1.png 2 times'),
            (['b'], ['1.png'], ['cat'], 'c.mp4 is a video'),
            (['a/1.png'], ['1.png'], ['dog'], "'cat' of the model should be one"),
            (['a/1.png'], ['1.png'], ['cat', 'cat'], "'cat' of the model should be"),
        ],
    )
