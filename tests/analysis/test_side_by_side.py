"""Detections of several models on the same pictures: judged, chosen and drawn."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData

from mmdet_qrpaq.analysis.detections.drawing import READABLE_SIDE, draw_side_by_side
from mmdet_qrpaq.analysis.detections.outcomes import judge
from mmdet_qrpaq.analysis.detections.score_threshold import (
    best_score_threshold,
    find_score_threshold,
)
from mmdet_qrpaq.analysis.detections.side_by_side import (
    SCHEMA,
    chosen,
    collect_numbers,
    look_at_pictures,
)
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.results import write_result

SIZE = 80  # of the stored pictures; boxes below are in its pixels
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


class Pictures(list):
    """Stands in for a data set: `metainfo`, `pipeline` and samples."""

    metainfo = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 255, 0)])

    def __init__(self, samples, transforms):
        super().__init__(dict(inputs=None, data_samples=sample) for sample in samples)
        steps = [type(name, (), {})() for name in transforms]
        self.pipeline = SimpleNamespace(transforms=steps)


class FixedDetector:
    """Finds the same in every picture, in the scale of the file."""

    def __init__(self, found):
        self.found = found

    def test_step(self, batch):
        (sample,) = batch['data_samples']
        sample = sample.clone()
        sample.pred_instances = self.found
        return [sample]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'picture.png'
    cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), 90, np.uint8))
    return path


def pictures(path, transforms=('Resize', 'LoadAnnotations'), truths=((BOX, 0),)):
    samples = []
    for truth in truths:
        meta = dict(img_path=str(path), scale_factor=(2.0, 0.5))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = instances(truth)
        samples.append(sample)
    return Pictures(samples, transforms)


def model(data, *found, name='host'):
    loader = SimpleNamespace(dataset=data, collate_fn=pseudo_collate)
    detector = FixedDetector(instances(*found))
    return SimpleNamespace(name=name, detector=detector, dataloader=loader)


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
    outcomes = judge(instances(*truth), [instances(*f) for f in founds], 0.5)
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
    first, second = judge(truth, [host, ours], 0.5)
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
    (outcome,) = judge(truth, [found], 0.5, crowd)
    # A third of `half` is in the crowd, and `other` is of another class.
    assert outcome.found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert outcome.numbers() == dict(correct=1, wrong=2, missed=0, differing=0)


def test_masks_are_kept_of_the_chosen_pictures_only(picture):
    data = pictures(picture, truths=[(BOX, 0), (BOX, 1), (BOX, 0), (ELSEWHERE, 0)])
    for sample in data:
        sample['data_samples'].gt_instances.masks = torch.ones(1, SIZE, SIZE) > 0
    host = model(data, (BOX, 0, 0.9))
    scenes = look_at_pictures([host], num_pictures=2, select='differing')
    assert ['masks' in scene.truth for scene in scenes] == [False, True, False, True]


def draw(models, **options):
    thresholds = dict(score_threshold=options.pop('score_threshold', 0.5))
    number = options.get('num_pictures', 12)
    reason = dict(reason=options.pop('reason', ''))
    scenes = look_at_pictures(models, **options, **thresholds)
    names = [model.name for model in models]
    meta = Pictures.metainfo
    return draw_side_by_side(
        chosen(scenes, number), names, meta, **thresholds, **reason
    )


def panels(figure, number=2):
    strip = figure.axes[0].images[0].get_array()
    assert strip.shape == (READABLE_SIDE, number * READABLE_SIDE, 3)
    return [part.astype(int) for part in np.split(strip, number, axis=1)]


def painted(panel):
    """Bounding box (x1, y1, x2, y2) of all that is not the plain background."""
    rows, columns = np.nonzero(np.abs(panel - 90).max(-1) > 40)
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_truth_is_left_and_detections_are_right(picture):
    left, right = panels(draw([model(pictures(picture), (BOX, 1, 0.9))]))
    for panel, strong, weak in ((left, 0, 1), (right, 1, 0)):
        # Right edge, away from the name: the class's colour.
        edge = panel[round(34 * SCALE) : round(54 * SCALE), round(BOX[2] * SCALE)]
        assert edge[:, strong].max() > 190 and edge[:, weak].max() < 150
        assert np.allclose(painted(panel), np.array(BOX) * SCALE, atol=4)


def share_of_edge(panel):
    """How much of the right edge is painted."""
    edge = panel[round(BOX[1] * SCALE) : round(BOX[3] * SCALE), round(BOX[2] * SCALE)]
    return float((np.abs(edge - 90).max(-1) > 60).mean())


def test_wrong_ones_and_missed_objects_are_dashed(picture):
    shares = {}
    for label in (0, 1):
        data = pictures(picture)
        shares[label] = [
            share_of_edge(panel)
            for panel in panels(draw([model(data, (BOX, label, 0.9))]))
        ]
    assert min(shares[0]) > 0.95
    assert 0.3 < min(shares[1]) <= max(shares[1]) < 0.9


def test_a_detection_that_another_model_lacks_is_thick(picture):
    data = pictures(picture)
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
        'truth: 1',
        'host\n1 right, 0 wrong, 0 missed',
        'other\n0 right, 0 wrong, 1 missed',
    ]


@pytest.mark.parametrize('as_tensor', [True, False])
def test_masks_are_laid_over_the_picture(picture, as_tensor):
    # The upper half of the picture, at twice the file's resolution.
    mask = np.zeros((1, 2 * SIZE, 2 * SIZE), np.uint8)
    mask[:, :SIZE] = 1
    found = model(pictures(picture), (ELSEWHERE, 1, 0.9))
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


def test_detections_below_the_threshold_are_not_drawn(picture):
    figure = draw([model(pictures(picture), (BOX, 1, 0.4))], score_threshold=0.5)
    left, right = panels(figure)
    assert (right == 90).all()
    assert not (left == 90).all()


def test_resized_truth_is_brought_back_to_the_files_scale(picture):
    resized = [BOX[0] * 2, BOX[1] / 2, BOX[2] * 2, BOX[3] / 2]
    data = pictures(picture, ('LoadAnnotations', 'Resize'), [(resized, 0)])
    left, _ = panels(draw([model(data, (BOX, 0, 0.9))]))
    assert np.allclose(painted(left), np.array(BOX) * SCALE, atol=4)


@pytest.mark.parametrize('select', ['spread', 'differing'])
@pytest.mark.parametrize(('there', 'wanted', 'drawn'), [(5, 2, 2), (2, 5, 2)])
def test_no_more_pictures_than_wanted_or_there(picture, there, wanted, drawn, select):
    data = pictures(picture, truths=[(BOX, 0)] * there)
    figure = draw([model(data, (BOX, 1, 0.9))], num_pictures=wanted, select=select)
    assert sum(bool(axes.images) for axes in figure.axes) == drawn


def test_pictures_with_the_most_mistakes_are_chosen(picture):
    """Of one model: the second and fourth picture hold what it does not find."""
    data = pictures(picture, truths=[(BOX, 0), (BOX, 1), (BOX, 0), (ELSEWHERE, 0)])
    host = model(data, (BOX, 0, 0.9))
    scenes = look_at_pictures([host], num_pictures=2, select='differing')
    drawn = chosen(scenes, 2)
    assert [scenes.index(scene) for scene in drawn] == [1, 3]
    settings = dict(score_threshold=0.5, iou_threshold=0.5, select='differing')
    numbers = collect_numbers(['host'], scenes, drawn, **settings)
    assert numbers['models'] == [
        dict(name='host', correct=2, wrong=2, missed=2, differing=0)
    ]
    assert (numbers['num_images'], numbers['num_objects']) == (4, 4)
    counts = dict(correct=0, wrong=1, missed=1, differing=0)
    assert [row['models'] for row in numbers['pictures']] == [[counts]] * 2


def test_result_is_what_the_schema_promises(picture, tmp_path):
    data = pictures(picture)
    models = [model(data, (BOX, 0, 0.9)), model(data, name='ours')]
    scenes = look_at_pictures(models, select='differing')
    numbers = collect_numbers(
        ['host', 'ours'],
        scenes,
        scenes,
        score_threshold=0.5,
        iou_threshold=0.5,
        select='differing',
    )
    write_result(tmp_path / 'x.json', 'side_by_side', {}, numbers, SCHEMA)
    assert [row['differing'] for row in numbers['models']] == [1, 0]
    assert numbers['pictures'][0]['file'] == str(picture)


def test_best_threshold_by_hand():
    """Of four objects: 0.9 and 0.4 are right, 0.6 and 0.2 wrong, 0.1 is right."""
    scores = torch.tensor([0.1, 0.9, 0.6, 0.4, 0.2])
    correct = torch.tensor([True, True, False, True, False])
    # F1 from 0.9 on: 2/5, 0.6: 2/6, 0.4: 4/7, 0.2: 4/8, 0.1: 6/9.
    threshold, f1 = best_score_threshold(scores, correct, 4)
    assert (threshold, f1) == (0.1, pytest.approx(6 / 9))
    # Without the last: every threshold above 0.2 and up to 0.4 is as good.
    threshold, f1 = best_score_threshold(scores[1:], correct[1:], 4)
    assert (threshold, f1) == (0.4, pytest.approx(4 / 7))
    # Nothing is correct: no threshold is better than another.
    assert best_score_threshold(scores[:0], correct[:0], 4) == (0.5, 0)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(BOXES, st.integers(0, 1)), min_size=1, max_size=4),
    st.lists(st.tuples(BOXES, st.integers(0, 1)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_no_threshold_is_better_than_the_best(truth, found, rng):
    """Each judged on its own, as the picture with that threshold would be."""
    scores = rng.sample(range(1, 100), len(found))
    found = [(*row, score / 100) for row, score in zip(found, scores, strict=True)]

    def f1_from(least):
        kept = [row for row in found if row[2] >= least]
        ((correct, _, _),) = naive(truth, [kept], 0.5)
        return 2 * sum(correct) / (len(kept) + len(truth))

    (outcome,) = judge(instances(*truth), [instances(*found)], 0.5)
    best = best_score_threshold(outcome.found.scores, outcome.correct, len(truth))
    assert best[1] == pytest.approx(max(f1_from(n / 100) for n in range(100)))
    assert f1_from(best[0] - 1e-6) == pytest.approx(best[1])


def test_best_threshold_is_found_on_all_pictures_and_told(picture):
    """The second guess of 0.6 is wrong in each of three pictures."""
    data = pictures(picture, truths=[(BOX, 0)] * 3)
    host = model(data, (BOX, 0, 0.9), (BOX, 0, 0.6))
    threshold, f1 = find_score_threshold([host])
    assert 0.6 < threshold <= 0.9 and f1 == 1
    # Another model finds one object, with a low score: 6 right and no wrong, or one
    # model's alone.
    other = model(data, (BOX, 0, 0.2), name='other')
    assert find_score_threshold([host, other])[1] == pytest.approx(12 / (9 + 6))
    figure = draw([host], score_threshold=threshold, reason='best F1 on val: 1.00')
    assert f'{threshold:g} (best F1 on val: 1.00)' in figure.get_suptitle()


def test_nothing_to_draw_is_refused(picture):
    with pytest.raises(ConfigError, match='at least one picture'):
        draw([model(pictures(picture))], num_pictures=0)


def test_models_that_see_other_pictures_are_refused(picture, tmp_path):
    few, many = pictures(picture), pictures(picture, truths=[(BOX, 0)] * 3)
    with pytest.raises(ConfigError, match='host 1, ours 3'):
        draw([model(few), model(many, name='ours')])
    other = pictures(tmp_path / 'other.png')
    with pytest.raises(ConfigError, match=r'number 1 is .*picture.png and .*other.png'):
        draw([model(few), model(other, name='ours')])
