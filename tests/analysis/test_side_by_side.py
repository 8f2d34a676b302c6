"""Detections of several models on the same images: judged, chosen and drawn."""

import json
from types import SimpleNamespace

import cv2
import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch import nn
from torch.utils.data import DataLoader

from mmdet_qrpaq.analysis import command_line
from mmdet_qrpaq.analysis.detections import side_by_side
from mmdet_qrpaq.analysis.detections.drawing import READABLE_SIDE
from mmdet_qrpaq.analysis.detections.outcomes import judge_detections
from mmdet_qrpaq.analysis.detections.section import SIDE_BY_SIDE
from mmdet_qrpaq.analysis.detections.side_by_side import (
    SCHEMA,
    best_threshold,
    tables,
)
from mmdet_qrpaq.analysis.measuring import measure, observers_of
from mmdet_qrpaq.analysis.one_pass import one_pass
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.operating_points import best_point
from mmdet_qrpaq.records.tables import print_table
from tiny_runs import CLASSES, CONFIG, run_script, save_untrained, write_dataset

SIZE = 80  # of the stored images; boxes below are in its pixels
BOX = [20.0, 24.0, 60.0, 64.0]
ELSEWHERE = [2.0, 2.0, 10.0, 10.0]
SCALE = READABLE_SIDE / SIZE


def instances(*rows):
    """Rows of (box, label) or (box, label, score)."""
    found = InstanceData(
        bboxes=torch.tensor([row[0] for row in rows]).reshape(-1, 4),
        labels=torch.tensor([row[1] for row in rows], dtype=torch.long),
    )
    if not rows or len(rows[0]) == 3:
        found.scores = torch.tensor([float(row[2]) for row in rows])
    return found


class Images(list):
    """Stands in for a data set: `metainfo`, `pipeline` and samples."""

    metainfo = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 255, 0)])

    def __init__(self, samples, transforms):
        super().__init__(dict(inputs=None, data_samples=sample) for sample in samples)
        steps = [type(name, (), {})() for name in transforms]
        self.pipeline = SimpleNamespace(transforms=steps)

    def get_data_info(self, index):
        return dict(img_path=self[index]['data_samples'].img_path)


class FixedDetector(nn.Module):
    """Finds the same in every image, in the scale of the file."""

    def __init__(self, found):
        super().__init__()
        self.found, self.backbone = found, nn.Identity()
        self.num_seen = 0

    def data_preprocessor(self, batch, training):
        return batch

    def forward(self, inputs, data_samples, mode):
        self.num_seen += len(data_samples)
        samples = [sample.clone() for sample in data_samples]
        for sample in samples:
            sample.pred_instances = self.found
        return samples


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), 90, np.uint8))
    return path


def images(path, transforms=('Resize', 'LoadAnnotations'), truths=((BOX, 0),)):
    samples = []
    for truth in truths:
        meta = dict(img_path=str(path), scale_factor=(2.0, 0.5))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = instances(truth)
        samples.append(sample)
    return Images(samples, transforms)


def model(data, *found, name='host', batch_size=1):
    loader = DataLoader(data, batch_size, collate_fn=pseudo_collate)
    detector = FixedDetector(instances(*found))
    return SimpleNamespace(name=name, detector=detector, dataloader=loader, split='val')


def look(models, **options):
    """Numbers and figure."""
    return measure(SIDE_BY_SIDE, models, SIDE_BY_SIDE.choose(**options))


def draw(models, **options):
    return look(models, **options)[1]


def observed(models, **options):
    """Observers that have seen their images."""
    observers = observers_of(SIDE_BY_SIDE, models, SIDE_BY_SIDE.choose(**options))
    for one, observer in zip(models, observers, strict=True):
        one_pass(one, [observer])
    return observers


def naive(truth, founds, threshold):
    """Judge with loops: (correct, missed, differs) of each model, best first."""

    def iou(one, other):
        left, top = max(one[0], other[0]), max(one[1], other[1])
        right, bottom = min(one[2], other[2]), min(one[3], other[3])
        common = max(right - left, 0) * max(bottom - top, 0)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
        return common / max(sum(areas) - common, 1e-6)

    ordered = [sorted(found, key=lambda row: -row[2]) for found in founds]
    results = []
    for number, found in enumerate(ordered):
        free, correct, differs = set(range(len(truth))), [], []
        for box, label, _ in found:
            ious = {n: iou(box, truth[n][0]) for n in free if truth[n][1] == label}
            best = max(ious, key=lambda n: (ious[n], -n), default=None)
            correct.append(best is not None and ious[best] >= threshold)
            if correct[-1]:
                free.remove(best)
            differs.append(
                any(
                    not any(
                        label == their[1] and iou(box, their[0]) >= threshold
                        for their in other
                    )
                    for place, other in enumerate(ordered)
                    if place != number
                )
            )
        results.append((correct, [n in free for n in range(len(truth))], differs))
    return results


CORNER = st.integers(0, 6)
BOXES = st.tuples(CORNER, CORNER, st.integers(2, 6), st.integers(2, 6)).map(
    lambda v: [float(v[0]), float(v[1]), float(v[0] + v[2]), float(v[1] + v[3])]
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(BOXES, st.integers(0, 1)), max_size=4),
    st.lists(
        st.lists(st.tuples(BOXES, st.integers(0, 1)), max_size=5),
        min_size=1,
        max_size=3,
    ),
    st.randoms(use_true_random=False),
)
def test_outcomes_equal_loops(truth, founds, rng):
    # Scores that differ: the order of equal ones is nobody's business.
    scores = rng.sample(range(100), sum(map(len, founds)))
    founds = [[(*row, scores.pop() / 100) for row in found] for found in founds]
    outcomes = judge_detections(instances(*truth), [instances(*f) for f in founds], 0.5)
    for outcome, wanted in zip(outcomes, naive(truth, founds, 0.5), strict=True):
        found = (outcome.correct, outcome.missed, outcome.differs)
        assert tuple(row.tolist() for row in found) == wanted
        numbers = outcome.numbers()
        assert numbers['correct'] + numbers['missed'] == len(truth)


def test_outcomes_by_hand():
    """A second guess is wrong, a wrong class is, and each model lacks something."""
    truth = instances((BOX, 0), (ELSEWHERE, 1))
    host = instances((BOX, 0, 0.6), (BOX, 0, 0.9), (BOX, 1, 0.8))
    ours = instances((BOX, 0, 0.7), (ELSEWHERE, 1, 0.5))
    first, second = judge_detections(truth, [host, ours], 0.5)
    assert first.found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert first.correct.tolist() == [True, False, False]
    assert first.differs.tolist() == [False, True, False]
    assert first.numbers() == dict(correct=1, wrong=2, missed=1, differing=1)
    assert second.numbers() == dict(correct=2, wrong=0, missed=0, differing=1)


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    """COCO leaves it out, if its own object is not there: by the share of its box."""
    crowd = instances(([0.0, 0.0, 80.0, 40.0], 0))
    truth = instances((BOX, 0))
    inside, half, other = [5.0, 5.0, 15.0, 15.0], [60.0, 30.0, 70.0, 60.0], ELSEWHERE
    found = instances((BOX, 0, 0.9), (inside, 0, 0.8), (half, 0, 0.7), (other, 1, 0.6))
    (outcome,) = judge_detections(truth, [found], 0.5, crowd)
    # A third of `half` is in the crowd, and `other` is of another class.
    assert outcome.found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert outcome.numbers() == dict(correct=1, wrong=2, missed=0, differing=0)


def with_masks(data):
    for sample in data:
        sample['data_samples'].gt_instances.masks = torch.ones(1, SIZE, SIZE) > 0
    return data


def test_masks_are_kept_of_the_drawn_images_only(image, monkeypatch):
    truths = [(BOX, 0), (BOX, 1), (BOX, 0), (ELSEWHERE, 0)]
    host = model(with_masks(images(image, truths=truths)), (BOX, 0, 0.9), batch_size=3)
    (observer,) = observed([host], select='differing')
    assert observer.has_masks
    assert not any('masks' in look.truth for look in observer.looks.values())
    drawn = []
    drawer = side_by_side.draw_side_by_side

    def note(scenes, *args, **kwargs):
        drawn.extend(scenes)
        return drawer(scenes, *args, **kwargs)

    monkeypatch.setattr(side_by_side, 'draw_side_by_side', note)
    host.detector.num_seen = 0
    numbers, _ = look([host], num_images=2, select='differing')
    assert len(drawn) == 2 and all('masks' in scene.truth for scene in drawn)
    # All once, and the two that are drawn again.
    assert host.detector.num_seen == 4 + 2
    assert [scene.counts for scene in drawn] == [
        row['models'] for row in numbers['pictures']
    ]


def test_nothing_is_predicted_that_is_not_looked_at(image):
    """Evenly spread: the first, the middle and the last of five."""
    host = model(images(image, truths=[(BOX, 0)] * 5), (BOX, 0, 0.9))
    (observer,) = observed([host], num_images=3)
    assert sorted(observer.looks) == [0, 2, 4] and host.detector.num_seen == 3
    # A batch may bring others along.
    host = model(images(image, truths=[(BOX, 0)] * 4), batch_size=4)
    (one,) = observers_of(SIDE_BY_SIDE, [host], SIDE_BY_SIDE.choose(num_images=2))
    (other,) = observers_of(SIDE_BY_SIDE, [host], SIDE_BY_SIDE.choose(num_images=4))
    one_pass(host, [one, other])
    assert (sorted(one.looks), sorted(other.looks)) == ([0, 3], [0, 1, 2, 3])


def test_one_run_serves_the_threshold_and_the_images(image):
    host = model(images(image, truths=[(BOX, 0)] * 5), (BOX, 0, 0.9))
    numbers, _ = look([host], score_threshold='best', select='spread', num_images=2)
    assert host.detector.num_seen == 5
    assert (numbers['num_images'], len(numbers['pictures'])) == (2, 2)


def panels(figure, number=2):
    strip = figure.axes[0].images[0].get_array()
    assert strip.shape == (READABLE_SIDE, number * READABLE_SIDE, 3)
    return [part.astype(int) for part in np.split(strip, number, axis=1)]


def painted(panel):
    """Bounding box (x1, y1, x2, y2) of all that is not the plain background."""
    rows, columns = np.nonzero(np.abs(panel - 90).max(-1) > 40)
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_truth_is_left_and_detections_are_right(image):
    left, right = panels(draw([model(images(image), (BOX, 1, 0.9))]))
    for panel, strong, weak in ((left, 0, 1), (right, 1, 0)):
        # Right edge, away from the name: the class's colour.
        edge = panel[round(34 * SCALE) : round(54 * SCALE), round(BOX[2] * SCALE)]
        assert edge[:, strong].max() > 190 and edge[:, weak].max() < 150
        assert np.allclose(painted(panel), np.array(BOX) * SCALE, atol=4)


def share_of_edge(panel):
    """How much of the right edge is painted."""
    edge = panel[round(BOX[1] * SCALE) : round(BOX[3] * SCALE), round(BOX[2] * SCALE)]
    return float((np.abs(edge - 90).max(-1) > 60).mean())


def test_wrong_ones_and_missed_objects_are_dashed(image):
    shares = {}
    for label in (0, 1):
        data = images(image)
        shares[label] = [
            share_of_edge(panel)
            for panel in panels(draw([model(data, (BOX, label, 0.9))]))
        ]
    assert min(shares[0]) > 0.95
    assert 0.3 < min(shares[1]) <= max(shares[1]) < 0.9


def test_a_detection_that_another_model_lacks_is_thick(image):
    data = images(image)
    host, other = model(data, (BOX, 0, 0.9)), model(data, name='other')
    alike = model(data, (BOX, 0, 0.6), name='alike')
    lacking, shared = draw([host, other]), draw([host, alike])
    widths = []
    for figure in (lacking, shared):
        _, panel, _ = panels(figure, 3)
        row = panel[round(45 * SCALE), round(50 * SCALE) :]
        widths.append(int((np.abs(row - 90).max(-1) > 40).sum()))
    assert widths[0] > widths[1]
    heads = [text.get_text() for text in lacking.axes[0].texts]
    assert heads == [
        f'{image.name}\ntruth: 1',
        'host\n1 right, 0 wrong, 0 missed',
        'other\n0 right, 0 wrong, 1 missed',
    ]


@pytest.mark.parametrize('as_tensor', [True, False])
def test_masks_are_laid_over_the_image(image, as_tensor):
    # The upper half of the image, at twice the file's resolution.
    mask = np.zeros((1, 2 * SIZE, 2 * SIZE), np.uint8)
    mask[:, :SIZE] = 1
    found = model(images(image), (ELSEWHERE, 1, 0.9))
    found.detector.found.masks = (
        torch.from_numpy(mask).bool()
        if as_tensor
        else BitmapMasks(mask, 2 * SIZE, 2 * SIZE)
    )
    _, panel = panels(draw([found]))
    side = panel[:, -20:]  # beside the box and its name
    upper, lower = np.split(side, 2)
    # Half green (0, 255, 0), half the background's 90; below nothing is laid over.
    assert np.allclose(upper[:-4], [45, 172, 45], atol=4)
    assert np.allclose(lower[4:], 90, atol=2)


def test_detections_below_the_threshold_are_not_drawn(image):
    figure = draw([model(images(image), (BOX, 1, 0.4))], score_threshold=0.5)
    left, right = panels(figure)
    assert (right == 90).all()
    assert not (left == 90).all()


def test_resized_truth_is_brought_back_to_the_files_scale(image):
    resized = [BOX[0] * 2, BOX[1] / 2, BOX[2] * 2, BOX[3] / 2]
    data = images(image, ('LoadAnnotations', 'Resize'), [(resized, 0)])
    left, _ = panels(draw([model(data, (BOX, 0, 0.9))]))
    assert np.allclose(painted(left), np.array(BOX) * SCALE, atol=4)


@pytest.mark.parametrize('select', ['spread', 'differing'])
@pytest.mark.parametrize(('there', 'wanted', 'drawn'), [(5, 2, 2), (2, 5, 2)])
def test_no_more_images_than_wanted_or_there(image, there, wanted, drawn, select):
    data = images(image, truths=[(BOX, 0)] * there)
    figure = draw([model(data, (BOX, 1, 0.9))], num_images=wanted, select=select)
    assert sum(bool(axes.images) for axes in figure.axes) == drawn


def test_images_with_the_most_mistakes_are_chosen(image):
    """Of one model: the second and fourth image hold what it does not find."""
    data = images(image, truths=[(BOX, 0), (BOX, 1), (BOX, 0), (ELSEWHERE, 0)])
    host = model(data, (BOX, 0, 0.9))
    numbers, figure = look([host], num_images=2, select='differing')
    counts = dict(correct=0, wrong=1, missed=1, differing=0)
    assert numbers == dict(
        score_threshold=0.5,
        iou_threshold=0.5,
        select='differing',
        num_images=4,
        num_objects=4,
        models=[dict(name='host', correct=2, wrong=2, missed=2, differing=0)],
        pictures=[dict(file=str(image), models=[counts])] * 2,
    )
    table, drawn = tables(numbers)
    # Of four detections and four objects two are pairs.
    assert table.rows == [['host', '2', '2', '2', '0', '50.0']]
    assert '4 images with 4 objects' in table.caption
    assert drawn.columns == ['file', 'wrong', 'missed']
    assert drawn.rows == [[image.name, '1', '1']] * 2
    shown = figure.axes[0].texts[0].get_text()
    assert shown == f'{image.name}\ntruth: 1'


def test_of_equal_images_the_earlier_are_chosen(image, tmp_path):
    data = images(image, truths=[(BOX, 0), (BOX, 1), (ELSEWHERE, 1), (BOX, 1)])
    for number, sample in enumerate(data):
        path = tmp_path / f'{number}.png'
        path.write_bytes(image.read_bytes())
        sample['data_samples'].set_metainfo(dict(img_path=str(path)))
    host = model(data, (BOX, 0, 0.9))
    numbers, _ = look([host], num_images=2, select='differing')
    files = [row['file'] for row in numbers['pictures']]
    assert files == [str(tmp_path / '1.png'), str(tmp_path / '2.png')]


def test_result_is_what_the_schema_promises(image):
    data = images(image)
    models = [model(data, (BOX, 0, 0.9)), model(data, name='ours')]
    numbers, _ = look(models)
    jsonschema.validate(numbers, SCHEMA)
    assert [row['differing'] for row in numbers['models']] == [1, 0]
    assert numbers['pictures'][0]['file'] == str(image)


def test_selection_suits_the_number_of_models(image):
    data = images(image, truths=[(BOX, 0)] * 3)
    models = [model(data), model(data, name='ours')]
    for some, select in ((models, 'differing'), (models[:1], 'spread')):
        assert look(some)[0]['select'] == select
    assert look(models, select='spread')[0]['select'] == 'spread'


@settings(max_examples=40)
@given(
    st.lists(st.tuples(BOXES, st.integers(0, 1)), min_size=1, max_size=4),
    st.lists(st.tuples(BOXES, st.integers(0, 1)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_no_threshold_is_better_than_the_best(truth, found, rng):
    """Each judged on its own, as the image with that threshold would be."""
    scores = rng.sample(range(1, 100), len(found))
    found = [(*row, score / 100) for row, score in zip(found, scores, strict=True)]

    def f1_from(least):
        kept = [row for row in found if row[2] >= least]
        ((correct, _, _),) = naive(truth, [kept], 0.5)
        return 2 * sum(correct) / (len(kept) + len(truth))

    (outcome,) = judge_detections(instances(*truth), [instances(*found)], 0.5)
    scores, correct = outcome.found.scores.numpy(), outcome.correct.numpy()
    best = best_point(scores, correct, len(truth))
    assert best.f1 == pytest.approx(max(f1_from(n / 100) for n in range(100)))
    assert not best.f1 or f1_from(best.threshold) == pytest.approx(best.f1)


def test_best_threshold_is_found_on_all_images_and_told(image):
    """The second guess of 0.6 is wrong in each of three images."""
    data = images(image, truths=[(BOX, 0)] * 3)
    host = model(data, (BOX, 0, 0.9), (BOX, 0, 0.6))
    best = dict(score_threshold='best')
    threshold, f1 = best_threshold(observed([host], **best), 0.5)
    assert threshold == pytest.approx(0.75) and f1 == 1
    # Another model finds one object, with a low score: 6 right and no wrong, or one
    # model's alone.
    other = model(data, (BOX, 0, 0.2), name='other')
    _, f1 = best_threshold(observed([host, other], **best), 0.5)
    assert f1 == pytest.approx(12 / (9 + 6))
    numbers, figure = look([host], num_images=1, **best)
    assert numbers['score_threshold'] == threshold
    assert f'{threshold:.3g} (best F1 on val: 1.00)' in figure.get_suptitle()


@pytest.mark.parametrize('flag', ['--num-images', '--num-pictures'])
def test_nothing_to_draw_is_refused(flag, capsys):
    with pytest.raises(SystemExit):
        command_line.main(SIDE_BY_SIDE, '', ['a.py', 'a.pth', flag, '0'])
    assert f'{flag}: must be a whole number from 1' in capsys.readouterr().err


def test_models_that_see_other_images_are_refused_before_they_run(image, tmp_path):
    few, many = images(image), images(image, truths=[(BOX, 0)] * 3)
    with pytest.raises(ConfigError, match='host 1, ours 3'):
        observers_of(
            SIDE_BY_SIDE, [model(few), model(many, name='ours')], SIDE_BY_SIDE.choose()
        )
    other = images(tmp_path / 'other.png')
    with pytest.raises(ConfigError, match=r'number 1 is .*image.png and .*other.png'):
        observers_of(
            SIDE_BY_SIDE, [model(few), model(other, name='ours')], SIDE_BY_SIDE.choose()
        )


def test_models_with_other_classes_are_refused(image):
    mine, theirs = images(image), images(image)
    theirs.metainfo = dict(Images.metainfo, classes=('b', 'a'))
    with pytest.raises(ConfigError, match='those of ours are not those of host'):
        observers_of(
            SIDE_BY_SIDE,
            [model(mine), model(theirs, name='ours')],
            SIDE_BY_SIDE.choose(),
        )


def test_script_shows_what_it_writes(tmp_path, capsys):
    config, weights = tmp_path / 'tiny.py', tmp_path / 'tiny.pth'
    root = write_dataset(tmp_path / 'data', num_train=0, num_val=3)
    config.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    save_untrained(config, weights)
    words = [config, weights, '--score-threshold', 'best', '--num-pictures', 2]
    run_script('analysis/side_by_side', *words)
    result = json.loads((tmp_path / 'side_by_side.json').read_text())
    assert (tmp_path / 'side_by_side.png').stat().st_size > 10_000
    assert result['origin']['options']['num_images'] == 2
    assert result['numbers']['num_images'] == 2  # of one model: spread
    printed = capsys.readouterr().out
    for table in tables(result['numbers']):
        print_table(table)
    assert capsys.readouterr().out in printed
