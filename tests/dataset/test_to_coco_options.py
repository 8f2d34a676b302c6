"""Class names, places and the command line of `to_coco.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotation_files import DOG, voc
from tiny_hosts import REPOSITORY


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('data.yaml', 'nc: 2\nnames: [cat, 7]\ntrain: ../x'),
        ('../data.yaml', 'names:\n  1: 7\n  0: cat\n'),
        ('../classes.txt', 'cat\n7\n'),
    ],
)
def test_class_names_near_yolo_labels(bench, name, content):
    bench.write('a.txt', '1 .5 .5 .1 .1')
    bench.write(name, content)
    document = bench.convert('yolo')
    assert document['categories'] == [dict(id=1, name='cat'), dict(id=2, name='7')]
    assert document['annotations'][0]['category_id'] == 2


def test_a_data_file_above_says_more_than_a_list_beside(bench):
    bench.write('a.txt', '1 .5 .5 .1 .1 .2 .2')
    bench.write('classes.txt', 'cat\n7\n')
    bench.write('../data.yaml', 'names: [cat, 7]\nkpt_shape: [1, 2]\n')
    assert 'segmentation' not in bench.convert('yolo')['annotations'][0]


def test_class_names_stay_as_they_are_written(bench):
    """YAML would read them as true, false, a number and nothing."""
    bench.write('a.txt', '1 .5 .5 .1 .1')
    bench.write('data.yaml', 'names: [red, off, 010, null]')
    names = [category['name'] for category in bench.convert('yolo')['categories']]
    assert names == ['red', 'off', '010', 'null']


def test_tags_in_yaml_are_not_followed(bench, tmp_path):
    made = tmp_path / 'made'
    bench.write('a.txt', '0 .5 .5 .1 .1')
    bench.write('data.yaml', f'names: !!python/object/apply:os.mkdir [{made}, !!int b]')
    names = [category['name'] for category in bench.convert('yolo')['categories']]
    assert names == [str(made), 'b'] and not made.exists()


def test_classes_option_sets_the_ids_with_80_names_and_from_a_file(bench, tmp_path):
    bench.write('a.xml', voc(DOG))
    names = [f'class number {i}' for i in range(79)] + ['dog']
    assert (
        bench.convert('voc', '--classes', ','.join(names))['annotations'][0][
            'category_id'
        ]
        == 80
    )
    bench.out.unlink()
    (tmp_path / 'mine.names').write_text('zebra\ndog\n')
    document = bench.convert('voc', '--classes', str(tmp_path / 'mine.names'))
    assert [c['name'] for c in document['categories']] == ['zebra', 'dog']


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('names: [a', 'not readable as YAML'),
        ('[' * 100000, 'not readable as YAML'),
        ('names: [[a, b], c]', 'has no `names`'),
        ('names: {0: [a]}', 'has no `names`'),
        ('names: {0: a, 2: b}', 'not numbered 0, 1, 2'),
        ('nc: 3', 'has no `names`'),
        ('names: [a, a]', "names the class 'a' twice"),
        ('names: []', 'empty class name'),
    ],
)
def test_bad_class_file(bench, capsys, text, words):
    bench.write('data.yaml', text)
    bench.write('a.txt', '')
    assert bench.run('yolo') == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert 'data.yaml' in sentence and words in sentence


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (('--classes', 'a,,b'), '--classes has an empty class name'),
        (('--classes', 'a,a'), "--classes names the class 'a' twice"),
        (('--classes', 'gone.txt'), '--classes gone.txt does not exist'),
        (('--images', 'gone'), 'gone is no folder'),
        ((), 'holds no .xml files'),
    ],
)
def test_bad_options(bench, capsys, options, words):
    assert bench.run('voc', *options) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert words in sentence


def test_nothing_is_overwritten_and_nothing_left_half_written(
    bench, capsys, monkeypatch
):
    bench.write('a.xml', voc(DOG))
    bench.convert('voc')
    before = bench.out.read_bytes()
    bench.write('a.xml', voc(DOG, DOG))
    assert bench.run('voc') == 2
    assert bench.out.read_bytes() == before
    assert 'exists; remove it' in capsys.readouterr().err

    bench.out.unlink()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'replace', stop)
        with pytest.raises(KeyboardInterrupt):
            bench.run('voc')
    assert list(bench.out.parent.iterdir()) == []


def test_place_that_cannot_be_written(bench, capsys):
    bench.write('a.xml', voc(DOG))
    bench.out = bench.images / 'a.png' / 'coco.json'
    assert bench.run('voc') == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f'{bench.out} cannot be written')


def test_it_runs_without_what_only_mmengine_brings(bench):
    bench.write('a.xml', voc(DOG))
    program = (
        'import sys; sys.modules.update(torch=None, mmdet=None, mmengine=None, '
        'rich=None); '
        '__arguments_first__ = True; import to_coco; to_coco.run(to_coco.main)'
    )
    places = ['--images', str(bench.images), '--out', str(bench.out)]
    command = [sys.executable, '-c', program, 'voc', str(bench.annotations), *places]
    found = {**os.environ, 'PYTHONPATH': str(REPOSITORY / 'tools' / 'dataset')}
    done = subprocess.run(command, env=found, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'objects   1' in done.stdout
