"""tools/predict.py: the files it leaves, held against tools/test.py and by hand."""

import contextlib
import csv
import io
import json
import os
import resource
import shutil
import signal
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from check_each import check_each
from mmdet_qrpaq import operating_points
from mmdet_qrpaq.command_line import run
from mmdet_qrpaq.prediction import command
from mmdet_qrpaq.prediction.results import COLUMNS
from mmdet_qrpaq.prediction.video import Video, VideoFile
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from tiny_runs import CLASSES, believe, load_tool, metrics, predictions, run_tool

ONE_OBJECT = 'model.test_cfg.max_per_img=1'
PREDICTIONS, DETECTIONS = 'predictions.json', 'detections.json'


def read(folder: Path, name: str):
    return json.loads((folder / name).read_text())


def table(folder: Path) -> list[dict]:
    with (folder / 'detections.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def refused(*words: object, capsys: pytest.CaptureFixture) -> str:
    """Return the one sentence that the command ends with before it begins."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run(lambda: run_tool('predict', *words))
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and sentence.startswith('error: ')
    return sentence


@pytest.fixture(scope='module')
def trained(tiny_run: Path, truth: Path, dataset_root: Path) -> Path:
    """A checkpoint that nobody has tested, of a config that validates on `truth`."""
    stored = read_checkpoint(str(tiny_run / 'epoch_2.pth'))
    text = stored['meta']['cfg'].replace(f"'{dataset_root}/val.json'", "'val.json'")
    assert text.count("'val.json'") >= 4
    stored['meta']['cfg'] = text.replace("'val.json'", repr(str(truth)))
    path = truth.parent / 'tiny.pth'
    torch.save(stored, path)
    return path


@pytest.fixture(scope='module')
def truth(tiny_run, tiny_config, dataset_root, tmp_path_factory) -> Path:
    """Annotations of which the model finds every one; ids have gaps.

    Categories are in another order than the classes.
    """
    folder = tmp_path_factory.mktemp('trained')
    found, path = folder / 'found.pkl', folder / 'truth.json'
    words = ['--work-dir', folder / 'found', '--out', found]
    run_tool('test', tiny_config, tiny_run / 'epoch_2.pth', *words)
    believe(predictions(found), dataset_root / 'val.json', path)
    coco = json.loads(path.read_text())
    for entry in coco['annotations']:
        entry['image_id'] = 7 * entry['image_id'] + 5
        entry['category_id'] = {1: 30, 2: 4}[entry['category_id']]
    for entry in coco['images']:
        entry['id'] = 7 * entry['id'] + 5
    coco['categories'] = [dict(id=4, name=CLASSES[1]), dict(id=30, name=CLASSES[0])]
    coco['images'].reverse()
    path.write_text(json.dumps(coco))
    return path


@pytest.fixture(scope='module')
def on_truth(truth: Path) -> list[str]:
    options = ['--cfg-options']
    for stage in ('val', 'test'):
        options += [
            f'{stage}_dataloader.dataset.ann_file={truth}',
            f'{stage}_evaluator.ann_file={truth}',
        ]
    return options


@pytest.fixture(scope='module')
def images(dataset_root: Path) -> list[Path]:
    return sorted((dataset_root / 'images').glob('val_*.png'))


@pytest.fixture(scope='module')
def predicted(trained, truth, images) -> Path:
    """With the thresholds of the model's own validation, which come first."""
    out = trained.parent / 'predicted'
    run_tool('predict', trained, *images, '--ann-file', truth, '--out', out)
    return out


def test_the_same_ap_as_of_a_test(
    predicted, trained, tiny_config, truth, on_truth, tmp_path
):
    run_tool('test', tiny_config, trained, '--work-dir', tmp_path, *on_truth)
    expected = {k: v for k, v in metrics(tmp_path).items() if 'mAP' in k}
    assert 0.1 < expected['coco/bbox_mAP'] < 0.9
    results = read(predicted, PREDICTIONS)
    assert len(results) == 3 * 20
    # mmdet's own, given what the file holds in place of what a model says.
    metric = CocoMetric(ann_file=str(truth), metric='bbox')
    names = {
        category['id']: category['name'] for category in metric._coco_api.cats.values()
    }
    metric.dataset_meta = dict(
        classes=[names[i] for i in metric._coco_api.get_cat_ids()]
    )
    labels = {number: n for n, number in enumerate(metric._coco_api.get_cat_ids())}
    for image in metric._coco_api.get_img_ids():
        mine = [r for r in results if r['image_id'] == image]
        boxes = np.array([r['bbox'] for r in mine])
        boxes[:, 2:] += boxes[:, :2]
        found = dict(
            bboxes=torch.tensor(boxes),
            scores=torch.tensor([r['score'] for r in mine], dtype=torch.float64),
            labels=torch.tensor([labels[r['category_id']] for r in mine]),
        )
        sample = dict(img_id=image, ori_shape=(64, 64), pred_instances=found)
        metric.process({}, [sample])
    found = metric.evaluate(3)
    assert {k: found[k] for k in expected} == expected
    # pycocotools', from the file itself; mmdet rounds to three decimals.
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        run = COCOeval(known, known.loadRes(str(predicted / PREDICTIONS)), 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    assert round(run.stats[0], 3) == expected['coco/bbox_mAP']


def test_thresholds_are_found_once_and_used(
    predicted, trained, images, tmp_path, capsys
):
    points = operating_points.read(trained)
    assert points.num_images == 3 and 0 < points.overall.threshold < 1
    run_tool('predict', trained, *images, '--out', tmp_path)  # no data is needed now
    told = capsys.readouterr().out
    assert 'nobody has tested' not in told and 'best F1 on truth.json, 3 images' in told
    coco = read(tmp_path, DETECTIONS)
    assert coco['info']['thresholds'] == {n: points.threshold_of(n) for n in CLASSES}
    first, second = read(predicted, PREDICTIONS), read(tmp_path, PREDICTIONS)
    order = [[r['bbox'] for r in part] for part in (first[::-1], second)]
    assert sorted(order[0]) == sorted(order[1])


def test_thresholds_of_other_settings_are_not_kept(trained, images, tmp_path, capsys):
    checkpoint = tmp_path / 'tiny.pth'
    shutil.copy(trained, checkpoint)
    words = [checkpoint, images[0], '--out', tmp_path / 'out']
    run_tool('predict', *words, '--cfg-options', ONE_OBJECT)
    told = capsys.readouterr().out
    assert 'nobody has tested' in told and 'they are not kept' in told
    assert operating_points.read(checkpoint) is None


def test_tables_hold_what_is_over_the_thresholds(predicted, trained, truth):
    points = operating_points.read(trained)
    names = {4: CLASSES[1], 30: CLASSES[0]}
    files = {19: 'val_2.png', 12: 'val_1.png', 5: 'val_0.png'}
    kept = [
        result
        for result in read(predicted, PREDICTIONS)
        if result['score'] >= points.threshold_of(names[result['category_id']])
    ]
    assert 0 < len(kept) < 60
    rows = table(predicted)
    assert tuple(rows[0]) == COLUMNS
    for row, result in zip(rows, kept, strict=True):
        assert row['image'] == files[result['image_id']] and row['frame'] == ''
        assert row['class'] == names[result['category_id']]
        told = [float(row[key]) for key in ('x', 'y', 'width', 'height')]
        assert told == pytest.approx(result['bbox'], abs=0.0051)
        assert float(row['score']) == pytest.approx(result['score'], abs=5.1e-5)
    coco = read(predicted, DETECTIONS)
    assert [a.pop('id') for a in coco['annotations']] == [*range(1, len(kept) + 1)]
    for annotation, result in zip(coco['annotations'], kept, strict=True):
        assert annotation.pop('area') == result['bbox'][2] * result['bbox'][3]
        assert annotation == dict(result, iscrowd=0)
    assert coco['categories'] == [dict(id=30, name='square'), dict(id=4, name='disc')]
    assert [(i['id'], i['file_name']) for i in coco['images']] == [*files.items()]
    assert not list(predicted.glob('*.tmp'))


def test_what_is_drawn_has_the_size_of_the_input(predicted, images):
    for image in images:
        before = cv2.imread(str(image))
        drawn = cv2.imread(str(predicted / 'drawn' / image.name))
        assert drawn.shape == before.shape and (drawn != before).any()


def test_folders_of_everything(trained, images, tmp_path, capsys):
    """Below each other, equal names, all depths, turned; what is broken is told."""
    source = cv2.imread(str(images[0]))
    folder = tmp_path / 'all'
    (folder / 'deep').mkdir(parents=True)
    cv2.imwrite(str(folder / 'a.png'), source)
    cv2.imwrite(str(folder / 'deep' / 'a.png'), source[:40])
    grey = cv2.cvtColor(source, cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(folder / 'grey16.tif'), grey.astype(np.uint16) << 4)
    cv2.imwrite(str(folder / 'alpha.png'), np.dstack([source, grey]))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(source[:40, :, ::-1]))
    turned.save(folder / 'turned.jpg', exif=exif)
    (folder / 'broken.jpg').write_bytes(b'\xff\xd8\xff')
    (folder / 'notes.txt').write_text('-')
    (folder / 'gone.png').symlink_to('nowhere.png')
    frames = [Image.fromarray(part[..., ::-1]) for part in (source, source // 2)]
    names = ['loop.gif', 'pages.tif']
    for name in names:
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    if not cv2.haveImageReader(str(folder / 'loop.gif')):  # older ones of OpenCV
        (folder / names.pop(0)).unlink()
    out = tmp_path / 'out'
    with pytest.raises(SystemExit) as stop:
        run_tool('predict', trained, folder, '--threshold', 0, '--out', out)
    assert stop.value.code == 1
    told = capsys.readouterr()
    assert '1 files in the folders are no images and no videos' in told.out
    absent = f'{folder}/gone.png cannot be read (No such file or directory); '
    assert f'{absent}put it there, or leave it out.\n' in told.err
    assert f'image {folder / "broken.jpg"} cannot be read' in told.err
    sizes = {
        'a.png': (64, 64),
        'alpha.png': (64, 64),
        'deep/a.png': (64, 40),
        'grey16.tif': (64, 64),
        **dict.fromkeys(names, (64, 64)),
        'turned.jpg': (40, 64),
    }
    coco = read(out, DETECTIONS)
    found = {i['file_name']: (i['width'], i['height']) for i in coco['images']}
    assert found == sizes
    assert [image['id'] for image in coco['images']] == [*range(1, len(sizes) + 1)]
    assert [category['id'] for category in coco['categories']] == [1, 2]
    for name, (width, height) in sizes.items():
        drawn = Image.open(out / 'drawn' / name.replace('.gif', '.gif.png'))
        assert drawn.size == (width, height)
        assert drawn.getexif().get(0x0112, 1) == 1
    assert len(list((out / 'drawn').rglob('*.*'))) == len(sizes)
    boxes = {n: [] for n in sizes}
    for row in table(out):
        boxes[row['image']].append([row[key] for key in COLUMNS[3:]])
    assert all(len(part) == 20 for part in boxes.values())
    assert boxes['a.png'] == boxes['alpha.png'] != boxes['grey16.tif']
    assert boxes['a.png'] == boxes['pages.tif']
    for name, (width, height) in sizes.items():
        right = [float(x) + float(w) for _, x, _, w, _ in boxes[name]]
        bottom = [float(y) + float(h) for _, _, y, _, h in boxes[name]]
        assert max(right) <= width + 0.01 and max(bottom) <= height + 0.01


@pytest.mark.parametrize('more', [(), ('--tiles', 256)], ids=['whole', 'tiles'])
def test_images_too_flat_are_told_and_no_others(
    trained, images, tmp_path, capsys, more
):
    """Resized to 64 pixels one has too few positions for the queries, one no height."""
    folder = tmp_path / 'all'
    folder.mkdir()
    for name, height, width in (('a', 10, 640), ('c', 3, 900)):
        flat = np.zeros((height, width, 3), np.uint8)
        cv2.imwrite(str(folder / f'{name}.png'), flat)
    for name in ('b.png', 'd.png'):
        shutil.copy(images[0], folder / name)
    with pytest.raises(SystemExit) as stop:
        words = ['--threshold', 0.5, '--batch-size', 4, '--out', tmp_path / 'out']
        run_tool('predict', trained, folder, *words, *more)
    first, second = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 1
    assert first.startswith(f'error: {folder}/a.png: too small or too narrow')
    assert second.startswith(f'error: {folder}/c.png: too ')
    found = [i['file_name'] for i in read(tmp_path / 'out', DETECTIONS)['images']]
    assert found == ['b.png', 'd.png']


def test_frames_of_a_video_are_images(trained, images, tmp_path):
    clip = VideoFile(tmp_path / 'clip.mp4', 8)
    for image in images:
        clip.add(cv2.imread(str(image)))
    clip.close()
    out = tmp_path / 'out'
    words = ['--threshold', 0.05, '--batch-size', 2]
    run_tool('predict', trained, clip.path, *words, '--out', out)
    drawn = Video(out / 'drawn' / 'clip.mp4')
    frames = list(drawn)
    assert len(frames) == 3 and frames[0].shape == (64, 64, 3) and drawn.frame_rate == 8
    assert [i['frame'] for i in read(out, DETECTIONS)['images']] == [0, 1, 2]
    assert {(r['image'], r['frame']) for r in table(out)} <= {
        ('clip.mp4', str(n)) for n in range(3)
    }
    stills = tmp_path / 'stills'
    stills.mkdir()
    for number, frame in enumerate(Video(clip.path)):
        cv2.imwrite(str(stills / f'{number}.png'), frame)
    again = tmp_path / 'again'
    run_tool('predict', trained, stills, *words, '--out', again)
    assert read(out, PREDICTIONS) == read(again, PREDICTIONS)


def test_a_stop_leaves_what_is_done(
    trained, images, tmp_path, monkeypatch, capsys, request
):
    """Ctrl-C while the second image is drawn, and while the second frame is."""
    calls = []

    def stopped(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(*arguments)

    draw = command.draw
    monkeypatch.setattr(command, 'draw', stopped)
    # A test that runs beside others is deaf to it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(partial(signal.signal, signal.SIGINT, before))
    clip = VideoFile(tmp_path / 'clip.mp4', 8)
    for image in images:
        clip.add(cv2.imread(str(image)))
    clip.close()
    for inputs in ([clip.path], images):
        calls.clear()
        out = tmp_path / f'out{len(inputs)}'
        with pytest.raises(KeyboardInterrupt):
            words = ['--threshold', 0, '--batch-size', 3, '--out', out]
            run_tool('predict', trained, *inputs, *words)
        assert len(read(out, PREDICTIONS)) == len(table(out)) == 40
        assert len(read(out, DETECTIONS)['images']) == 2
        assert not list(out.rglob('*.tmp*'))
        assert '40 detections over the threshold on 2' in capsys.readouterr().out
    assert len(list(Video(tmp_path / 'out1' / 'drawn' / 'clip.mp4'))) == 2
    assert len(list((tmp_path / 'out3' / 'drawn').iterdir())) == 2


def test_a_full_disk_is_a_sentence_and_leaves_no_drafts(
    trained, images, tmp_path, capsys
):
    """A limit of 3000 bytes a file stands for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for out, more in (('tables', ()), ('drawn', ('--cfg-options', ONE_OBJECT))):
        out = tmp_path / out
        words = [trained, *images, '--threshold', 0, '--out', out, *more]
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
        try:
            told = refused(*words, capsys=capsys)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert 'cannot be written (File too large) after ' in told, told
        assert not list(out.rglob('*.tmp*')) and not (out / PREDICTIONS).exists()


def test_large_images_in_tiles(predicted, trained, tiny_config, tmp_path):
    """As by SAHI's own class for mmdet, on 4000 pixels."""
    pytest.importorskip('sahi')
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    scores = [result['score'] for result in read(predicted, PREDICTIONS)]
    threshold = round(np.quantile(scores, 0.8).item(), 4)
    # Nothing repeats: of equal scores, rounding would choose which is merged first.
    small = np.random.default_rng(0).integers(0, 256, (50, 200, 3), np.uint8)
    large = cv2.resize(small, (4000, 1000), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / 'large.png'
    cv2.imwrite(str(path), large)
    found = {}
    for name, words in (('whole', []), ('tiled', ['--tiles', 500, '--overlap', 0.25])):
        out = tmp_path / name
        words += ['--threshold', threshold, '--batch-size', 1, '--out', out]
        run_tool('predict', trained, path, *words)
        found[name] = read(out, PREDICTIONS)
        assert cv2.imread(str(out / 'drawn' / 'large.png')).shape == large.shape
    theirs = AutoDetectionModel.from_pretrained(
        'mmdet',
        model_path=str(trained),
        config_path=str(tiny_config),
        device='cpu',
        confidence_threshold=threshold,
    )
    expected = get_sliced_prediction(
        *(str(path), theirs, 500, 500, 0.25, 0.25),
        verbose=0,
        force_postprocess_type=True,
    ).object_prediction_list
    expected = [(o.category.id + 1, o.bbox.to_xywh()) for o in expected]
    tiled = [(r['category_id'], r['bbox']) for r in found['tiled']]
    assert len(expected) > max(20, len(found['whole']))
    for (label, box), (other, theirs) in zip(
        sorted(tiled), sorted(expected), strict=True
    ):
        assert label == other and box == pytest.approx(theirs, abs=0.01)


def test_published_with_its_thresholds(predicted, trained, images, tmp_path, capsys):
    out = tmp_path / 'published.pth'
    load_tool('model/publish').main([str(trained), str(out)])
    assert 'kept: the best threshold of each class' in capsys.readouterr().out
    again = tmp_path / 'again.pth'
    load_tool('model/publish').main([str(out), str(again)])
    for path in (out, again):
        run_tool('predict', path, images[0])
        assert 'best F1 on truth.json, 3 images' in capsys.readouterr().out
        (folder,) = tmp_path.glob('predictions_*')
        assert len(read(folder, PREDICTIONS)) == 20
        shutil.rmtree(folder)


def test_bad_input_is_a_sentence_and_nothing_is_written(
    trained, images, tiny_run, tmp_path, capsys
):
    bare, spoilt = tmp_path / 'bare.pth', tmp_path / 'spoilt.pth'
    stored = read_checkpoint(str(trained))
    torch.save(stored['state_dict'], bare)
    meta = dict(stored['meta'], operating_points=dict(overall=3))
    torch.save(dict(stored, meta=meta), spoilt)
    untested = tmp_path / 'untested.pth'
    torch.save(dict(stored, meta=dict(stored['meta'])), untested)
    full = tmp_path / 'full'
    full.mkdir()
    (full / 'file').touch()
    one, t = str(images[0]), ('--threshold', '0.5')
    gone = ('--cfg-options', 'val_dataloader.dataset.ann_file=gone.json')
    seven = ('--cfg-options', 'model.bbox_head.num_classes=7')

    def check(told, *words):
        out = tmp_path / 'out'
        words = words if '--out' in words else (*words, '--out', out)
        sentence = refused(*words, capsys=capsys)
        assert told in sentence and not out.exists(), sentence

    check_each(
        check,
        [
            ('absent.pth does not exist', 'absent.pth', one, *t),
            (f'checkpoint {full} is a folder', full, one, *t),
            ('absent.png does not exist', trained, 'absent.png', *t),
            ('holds no config that can be read', bare, one, *t),
            ('holds operating points that are none', spoilt, one),
            ('its best threshold is not known', untested, one, *gone),
            ('give --threshold', untested, one, *gone),
            ('is of 7 classes, and names of 2', trained, one, *t, *seven),
            ('is not empty', trained, one, *t, '--out', full),
            ('is not writable', 'absent.pth', one, *t, '--out', '/proc/x'),
            ('say where with --out', 'https://example.org/a.pth', one, '--out', ''),
            ('--device tpu cannot be used', trained, one, *t, '--device', 'tpu'),
            ('absent.json', trained, one, *t, '--ann-file', 'absent.json'),
            (
                'config absent.py does not exist',
                trained,
                one,
                *t,
                '--config',
                'absent.py',
            ),
        ],
    )


@pytest.mark.parametrize(
    'words', [('--threshold', '2'), ('--overlap', '0.95'), ('--tiles', '8')]
)
def test_numbers_are_within_their_limits(words, capsys):
    with pytest.raises(SystemExit) as stop:
        load_tool('predict').main(['a.pth', 'b.png', *words])
    assert stop.value.code == 2 and f'argument {words[0]}' in capsys.readouterr().err
