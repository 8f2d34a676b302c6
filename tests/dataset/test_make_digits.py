import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import digit_dataset
import digit_scenes
import make_digits
from digit_scenes import DatasetError

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset' / 'make_digits.py'

SETTINGS = dict(
    num_train=12, num_val=6, size=96, objects=[1, 3], digit_size=[20, 40], seed=3
)


def build(out, **changes):
    return digit_dataset.make_dataset(out, SETTINGS | changes)


def checksums(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'digits'
    assert build(out)
    return out


def annotations(dataset, split):
    path = dataset / 'annotations' / f'instances_{split}.json'
    return json.loads(path.read_text())


def test_same_settings_give_the_same_bytes(dataset, tmp_path):
    build(tmp_path / 'again')
    assert checksums(tmp_path / 'again') == checksums(dataset)


def test_drawing_needs_neither_torch_nor_mmdet(tmp_path):
    """They would take longer to import than the images to draw."""
    code = (
        'import sys, make_digits\n'
        'status = make_digits.main(sys.argv[1:])\n'
        'assert not {"torch", "mmdet", "mmdet_qrpaq"} & set(sys.modules)\n'
        'sys.exit(status)'
    )
    few = ['--num-train', '1', '--num-val', '1', '--out', str(tmp_path / 'd')]
    subprocess.run([sys.executable, '-c', code, *few], cwd=TOOL.parent, check=True)


def test_the_default_set_is_that_of_the_recorded_trainings(tmp_path):
    """Seed and number decide, so its first image speaks for all."""
    args = ['--out', str(tmp_path / 'd'), '--num-train', '1', '--num-val', '1']
    assert make_digits.main(args) == 0
    document = annotations(tmp_path / 'd', 'train')
    assert document['images'][0]['photograph'] == 'moon.png'
    found = [(entry['digit'], *entry['bbox']) for entry in document['annotations']]
    assert found == [(1462, 49.0, 70.0, 30.0, 52.0)]


def test_a_image_depends_on_its_number_not_on_how_many_there_are(dataset, tmp_path):
    build(tmp_path / 'fewer', num_train=5)
    for n in range(5):
        name = f'train/{n:06d}.png'
        assert (tmp_path / 'fewer' / name).read_bytes() == (dataset / name).read_bytes()


def test_another_seed_gives_other_images(dataset, tmp_path):
    build(tmp_path / 'other', seed=4)
    mine, other = checksums(dataset), checksums(tmp_path / 'other')
    assert not [name for name in mine if mine[name] == other[name]]


def test_train_and_val_share_no_digit_and_no_photograph(dataset):
    train_rows, val_rows = (set(digit_scenes.digit_rows(s)) for s in ('train', 'val'))
    assert not train_rows & val_rows
    assert len(train_rows | val_rows) == 1797
    used = {}
    for split, rows in (('train', train_rows), ('val', val_rows)):
        document = annotations(dataset, split)
        assert {entry['digit'] for entry in document['annotations']} <= rows
        used[split] = {image['photograph'] for image in document['images']}
    assert not used['train'] & used['val']
    photographs = digit_scenes.PHOTOGRAPHS
    assert not set(photographs['train']) & set(photographs['val'])


@pytest.mark.parametrize('split', ['train', 'val'])
def test_coco_reads_boxes_areas_and_masks_that_agree(dataset, split, capsys):
    coco = COCO(dataset / 'annotations' / f'instances_{split}.json')
    assert len(coco.imgs) == SETTINGS[f'num_{split}']
    for image in coco.imgs.values():
        pixels = cv2.imread(str(dataset / split / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3)
        entries = coco.imgToAnns[image['id']]
        assert 1 <= len(entries) <= 3
        inside = np.zeros(pixels.shape[:2], int)
        for entry in entries:
            mask = coco.annToMask(entry).astype(bool)
            rows, columns = np.nonzero(mask)
            assert entry['area'] == mask.sum()
            left, top = columns.min(), rows.min()
            width, height = columns.max() + 1 - left, rows.max() + 1 - top
            assert entry['bbox'] == [left, top, width, height]
            # A stroke is bright; all photographs are dimmed to half or less.
            assert pixels[mask].mean() > 130
            inside += mask
        assert inside.max() == 1, 'digits overlap'
        assert pixels[inside == 0].mean() < 140


def test_class_is_the_digit_that_was_drawn(dataset):
    labels = digit_scenes.read_digits()[1]
    document = annotations(dataset, 'train')
    names = {entry['id']: entry['name'] for entry in document['categories']}
    for entry in document['annotations']:
        assert names[entry['category_id']] == str(labels[entry['digit']])


def ring(size=20):
    grid = np.hypot(*np.mgrid[-size : size + 1, -size : size + 1])
    return (grid < 0.9 * size) & (grid > 0.5 * size)


def eight():
    return np.vstack([ring(12), ring(12)[3:]])


def two_parts():
    mask = np.zeros((30, 30), bool)
    mask[2:10, 3:9] = mask[15:28, 12:29] = True
    return mask


@pytest.mark.parametrize('mask', [ring(), eight(), two_parts()])
def test_polygons_keep_holes_and_parts_exactly(mask):
    polygons = digit_scenes.trace_polygons(mask)
    assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
    rle = coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape))
    np.testing.assert_array_equal(coco_mask.decode(rle).astype(bool), mask)


def test_polygon_of_a_rectangle_is_its_edges():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True
    (polygon,) = digit_scenes.trace_polygons(mask)
    corners = {tuple(corner) for corner in np.reshape(polygon, (-1, 2))}
    assert corners == {(3, 2), (8, 2), (8, 5), (3, 5)}


def test_polygons_of_drawn_digits_match_their_masks():
    glyphs, _ = digit_scenes.read_digits()
    rng = np.random.default_rng(0)
    for row in rng.choice(len(glyphs), 60, replace=False):
        mask = digit_scenes.draw_digit(glyphs[row], int(rng.integers(28, 65))) >= 0.5
        rle = coco_mask.merge(
            coco_mask.frPyObjects(digit_scenes.trace_polygons(mask), *mask.shape)
        )
        drawn = coco_mask.decode(rle).astype(bool)
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.95


def test_second_call_changes_nothing(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob('*')}
    assert build(dataset) is False
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob('*')} == before


def test_different_set_is_refused_unless_forced(tmp_path):
    out = tmp_path / 'digits'
    build(out)
    before = checksums(out)
    with pytest.raises(DatasetError, match='--force'):
        build(out, seed=5)
    assert checksums(out) == before
    settings = SETTINGS | dict(seed=5)
    assert digit_dataset.make_dataset(out, settings, force=True)
    assert checksums(out) != before
    assert not out.with_name('digits.partial').exists()


def test_damaged_set_is_noticed(tmp_path):
    out = tmp_path / 'digits'
    build(out)
    (out / 'train' / '000003.png').unlink()
    with pytest.raises(DatasetError, match='damaged'):
        build(out)


def test_foreign_folder_is_never_deleted(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(DatasetError, match='did not make'):
        digit_dataset.make_dataset(tmp_path, SETTINGS, force=True)
    assert (tmp_path / 'thesis.tex').read_text() == 'years of work'
    for card in ('{"name": "mine"}', '[1]', '{"generator": "x", "settings": 1}'):
        (tmp_path / 'dataset.json').write_text(card)
        with pytest.raises(DatasetError, match='did not make'):
            digit_dataset.make_dataset(tmp_path, SETTINGS, force=True)
        assert (tmp_path / 'thesis.tex').exists()


def test_broken_off_run_leaves_nothing_and_heals(tmp_path, monkeypatch):
    out = tmp_path / 'digits'

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(digit_dataset, 'annotate', stop)
        with pytest.raises(KeyboardInterrupt):
            build(out)
    assert not out.exists()
    assert build(out)
    assert not out.with_name('digits.partial').exists()


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(num_train=0), '--num-train must be at least 1'),
        (dict(num_val=-1), '--num-val must be at least 1'),
        (dict(objects=[3, 1]), '--objects'),
        (dict(objects=[0, 2]), '--objects'),
        (dict(digit_size=[20, 78]), '--digit-size'),
        (dict(size=-5), '--size must be at least 15, got -5'),
        (dict(size=12, digit_size=[12, 12]), '--size must be at least 15'),
        (dict(digit_size=[2, 20]), '--digit-size'),
        (dict(seed=-1), '--seed'),
    ],
)
def test_bad_settings_are_named(tmp_path, changes, words):
    with pytest.raises(DatasetError, match=words):
        build(tmp_path / 'digits', **changes)
    assert not list(tmp_path.iterdir())


def test_largest_digit_allowed_always_fits(tmp_path):
    # Of 1797 glyphs some fill all 8 rows: the tightest image that is accepted.
    assert build(tmp_path / 'd', size=15, digit_size=[12, 12], num_train=60)


@pytest.mark.parametrize('out', ['file/x', '/proc/x'])
def test_folder_that_cannot_be_made(tmp_path, capsys, out):
    (tmp_path / 'file').write_text('kept')
    assert make_digits.main(['--out', str(tmp_path / out)]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f'--out {tmp_path / out} cannot be written')


def test_command_line_says_one_sentence_and_returns_2(tmp_path, capsys):
    out = str(tmp_path / 'd')
    assert make_digits.main(['--out', out, '--objects', '0', '1']) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith('--objects')
