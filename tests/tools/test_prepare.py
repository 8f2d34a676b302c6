"""`tools/dataset/prepare.py` as it is typed."""

import json
import subprocess
import sys

import pytest

import prepare
from annotation_files import status_of
from data_folders import coco_mmdet, put, voc_beside, yolo_roboflow
from tiny_hosts import REPOSITORY

SCRIPT = REPOSITORY / 'tools/dataset/prepare.py'


def test_what_a_user_sees(tmp_path):
    """Without torch, mmdet and rich, from another folder, with the default place."""
    yolo_roboflow(tmp_path / 'my parts')
    program = (
        'import runpy, sys; sys.argv = sys.argv[1:]; sys.modules.update(torch=None, '
        'mmdet=None, mmengine=None, rich=None); __arguments_first__ = True; '
        'runpy.run_path(sys.argv[0], run_name="__main__")'
    )
    command = [sys.executable, '-c', program, str(SCRIPT), 'my parts']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'my parts is YOLO: data.yaml.',
        'COCO files in work_dirs/my parts were written.',
        '',
        '                   train      val     test',
        'images                 4        2        2',
        'without objects        1        0        0',
        'objects                4        3        3',
        'hex bolt               1        1        1',
        'nut                    2        1        1',
        '7                      1        1        1',
        '',
        'train: work_dirs/my parts/instances_train.json',
        'val: work_dirs/my parts/instances_val.json',
        'test: work_dirs/my parts/instances_test.json',
    ]
    assert not [*tmp_path.rglob('*.partial')]


@pytest.mark.parametrize('words', [[], ['--skip-broken']])
def test_broken_files(tmp_path, capsys, words):
    voc_beside(tmp_path / 'data')
    put(tmp_path / 'data/one.xml', '<annotation>')
    out = tmp_path / 'out'
    command = [str(tmp_path / 'data'), '--out', str(out), *words]
    assert status_of(prepare.main, command) == (0 if words else 2)
    shown = capsys.readouterr()
    if words:
        assert 'train: skipped, not XML: 1, e.g.' in shown.out
    else:
        assert 'one.xml: is not readable as XML' in shown.err and not out.exists()


def test_crowds(tmp_path, capsys):
    coco_mmdet(tmp_path / 'data')
    for path in (tmp_path / 'data/annotations').iterdir():
        document = json.loads(path.read_text())
        for entry in document['annotations']:
            entry['iscrowd'] = 1
        put(path, document)
    command = [str(tmp_path / 'data'), '--out', str(tmp_path / 'out')]
    assert status_of(prepare.main, command) == 2
    assert 'pass --crowd-as-objects' in capsys.readouterr().err
    assert status_of(prepare.main, [*command, '--crowd-as-objects']) == 0
    assert '7 objects marked `iscrowd` are taken' in capsys.readouterr().out


def test_a_place_that_cannot_be_written(tmp_path, capsys):
    voc_beside(tmp_path / 'data')
    put(tmp_path / 'file', '')
    command = [str(tmp_path / 'data'), '--out', str(tmp_path / 'file')]
    assert status_of(prepare.main, command) == 2
    assert 'cannot be written' in capsys.readouterr().err
