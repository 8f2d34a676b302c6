"""Thresholds, errors, confusions and calibration: worked by hand, and by loops."""

from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from mmdet.models.losses import FocalLoss, QualityFocalLoss

from check_each import check_each
from mmdet_qrpaq.analysis.detections.looks import Look
from mmdet_qrpaq.analysis.diagnosis import (
    calibration,
    confusion,
    error_types,
    thresholds,
)
from mmdet_qrpaq.analysis.diagnosis.graded import grade
from mmdet_qrpaq.analysis.report.of_test import as_csv
from mmdet_qrpaq.records.tables import print_table
from reference.coco_sets import evaluated, instances, matched, random_looks
from reference.error_types import error_types as error_types_by_loops

CLASSES = ['cat', 'dog', 'cow']
CAT, DOG, COW = range(3)


def at(left, top=0, width=10, height=10):
    return [left, top, left + width, top + height]


# Image 0: cats A, B, dog C and a crowd of cats. Image 1: dogs D, E, F.
HAND = {
    0: Look(
        '0.png',
        instances([at(0), at(20), at(40)], [CAT, CAT, DOG]),
        instances([at(60, 0, 40, 40)], [CAT]),
        instances(
            [
                at(0),  # right: A, IoU 1
                at(0, height=8),  # IoU 0.8 with A, which is taken: duplicate
                at(20, height=6),  # right: B, IoU 0.6
                at(40),  # no cat, but dog C: class
                at(70, 10),  # in the crowd: does not count
            ],
            [CAT] * 5,
            [0.91, 0.81, 0.71, 0.61, 0.51],
        ),
    ),
    1: Look(
        '1.png',
        instances([at(0), at(20), at(40)], [DOG] * 3),
        instances([], []),
        instances(
            [
                at(50, 50),  # nothing there: background
                at(0),  # right: D, IoU 1
                at(20, height=4),  # IoU 0.4 with E: box
                at(40, height=3),  # a cat, IoU 0.3 with dog F: class and box
                at(80, 80),  # background
            ],
            [DOG, DOG, DOG, CAT, COW],
            [0.95, 0.86, 0.41, 0.21, 0.15],
        ),
    ),
}
# AP of cats: 1 up to recall 0.5, then 2/3. Of dogs: 1/2 up to recall 1/4.
AP_CAT, AP_DOG = (51 + 50 * 2 / 3) / 101, 26 / 2 / 101


def observed(looks=HAND, loss=FocalLoss, **chosen):
    model = SimpleNamespace(
        name='ours',
        classes=CLASSES,
        split='val',
        detector=SimpleNamespace(bbox_head=SimpleNamespace(loss_cls=loss())),
        dataloader=SimpleNamespace(dataset=SimpleNamespace(ann_file='a/val.json')),
    )
    chosen = dict(dict(iou_threshold=0.5), **chosen)
    return [model], [SimpleNamespace(looks=looks, model=model, chosen=chosen)]


def concluded(work, *arguments, **chosen):
    numbers, figure = work.conclude(*observed(*arguments, **chosen))
    jsonschema.validate(numbers, work.SCHEMA)
    for table in work.tables(numbers):
        print_table(table)
        assert all(len(row) == len(table.columns) for row in table.rows)
    figure.draw_without_rendering()
    return numbers, figure


def close(value):
    return pytest.approx(value, abs=1e-6)


def test_thresholds_by_hand():
    numbers, figure = concluded(thresholds)
    (model,) = numbers['models']
    # All, of 6 objects, 2 right / (n + 6): 0.95 wrong 0, 0.91 2/8, 0.86 4/9, 0.81
    # wrong 4/10, 0.71 6/11, 0.61 wrong 6/12, ...
    point = dict(threshold=0.66, f1=6 / 11, precision=3 / 5, recall=3 / 6, objects=6)
    assert model['overall'] == close(point)
    # Cats, of 2: 0.91 2/3, 0.81 wrong 2/4, 0.71 4/5, 0.61 wrong 4/6.
    point = dict(threshold=0.66, f1=4 / 5, precision=2 / 3, recall=1, objects=2)
    assert model['classes']['cat'] == close(point)
    # Dogs, of 4: 0.95 wrong 0, 0.86 2/6, 0.41 wrong 2/7.
    point = dict(threshold=0.635, f1=2 / 6, precision=1 / 2, recall=1 / 4, objects=4)
    assert model['classes']['dog'] == close(point)
    # There is no cow: the threshold of all.
    point = dict(threshold=0.66, f1=0, precision=0, recall=0, objects=0)
    assert model['classes']['cow'] == close(point)
    # 9 detections count, 3 are right.
    curve = model['overall_curves']['f1']
    assert [curve[n] for n in (0, 66, 99)] == close([6 / 15, 6 / 11, 0])
    assert model['curves']['cat']['precision'] == close([1] * 51 + [2 / 3] * 50)
    assert model['curves']['dog']['precision'] == close([0.5] * 26 + [0] * 75)
    assert model['curves']['cow']['precision'] is None
    (table,) = thresholds.tables(numbers)
    assert table.rows[0] == [
        'all classes',
        '6',
        '0.660',
        '54.5',
        '60.0',
        '50.0',
        '48.2',
    ]
    assert table.rows[1][-1] == f'{100 * AP_CAT:.1f}'
    assert table.rows[3] == ['cow', '0', '0.660', '0.0', '0.0', '0.0', '–']
    right = figure.axes[1]
    named = [text.get_text() for text in right.get_legend().get_texts()]
    assert named[:3] == ['cat', 'dog', f'mean: AP {50 * (AP_CAT + AP_DOG):.1f} %']
    assert named[3:] == ['all detections', '0.66: F1 54.5 %']
    assert right.lines[-1].get_xydata().tolist() == [close([0.66, 6 / 11])]
    points = thresholds.points_of(numbers)
    assert (points.ann_file, points.num_images) == ('val.json', 2)
    lines = as_csv(points).splitlines()
    assert lines[0] == 'class,threshold,f1,precision,recall,objects'
    assert [line.partition(',')[0] for line in lines[1:]] == ['', *CLASSES]


def test_error_types_by_hand():
    numbers, figure = concluded(error_types)
    (model,) = numbers['models']
    # C is found by a detection of the wrong class, E by a bad box: only F is missed.
    assert model['counts'] == dict(Loc=1, Cls=1, Dupe=1, Bkg=2, Both=1, Miss=1)
    assert model['ap'] == close((AP_CAT + AP_DOG) / 2)
    # Dogs with the box, or with the detection on C: wrong, right, right: 2/3 up to
    # recall 1/2. Without the background of 0.95: 1 up to recall 1/4. Without F: 1/2 up
    # to recall 1/3. Cats without the duplicate: 1. Class and box comes after all cats.
    assert model['ap_lost'] == close(
        dict(
            Loc=(51 * 2 / 3 - 26 / 2) / 101 / 2,
            Cls=(51 * 2 / 3 - 26 / 2) / 101 / 2,
            Dupe=(1 - AP_CAT) / 2,
            Bkg=(26 - 26 / 2) / 101 / 2,
            Both=0,
            Miss=(34 / 2 - 26 / 2) / 101 / 2,
        )
    )
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == close([100 * value for value in model['ap_lost'].values()])
    (table,) = error_types.tables(numbers)
    assert table.rows[0][:3] == ['box', 'right class, IoU from 0.1 to 0.5', '1']
    assert table.rows[2][3] == f'{50 * (1 - AP_CAT):.1f}'


def test_confusion_by_hand():
    numbers, _ = concluded(confusion, score_threshold='best')
    (model,) = numbers['models']
    assert model['score_threshold'] == close(0.66)
    # From 0.66 on: A, B and D are found; C, E and F are missed; the duplicate and the
    # dog of 0.95 took nothing.
    expected = [[2, 0, 0, 0], [0, 1, 0, 3], [0, 0, 0, 0], [1, 1, 0, 0]]
    assert confusion.matrix_of(model).tolist() == expected
    # All: C is taken for a cat.
    numbers, figure = concluded(confusion, score_threshold=0.1)
    (model,) = numbers['models']
    expected = [[2, 0, 0, 0], [1, 1, 0, 2], [0, 0, 0, 0], [2, 2, 1, 0]]
    assert confusion.matrix_of(model).tolist() == expected
    sums, pairs = confusion.tables(numbers)
    assert sums.rows == [['ours', '0.100', '3', '1', '5', '2']]
    assert pairs.rows == [['dog', 'cat', '1', '25.0']]
    shares = figure.axes[0].images[0].get_array()
    assert shares[1].tolist() == [25, 25, 0, 50]


def test_confusion_of_many_classes_keeps_the_most_confused():
    # Of 30 classes 3 is taken for 7 twice, 20 for 21 once; one of each other is right.
    cells = [[n, n, 1] for n in range(30)] + [[3, 7, 2], [20, 21, 1], [30, 5, 4]]
    model = dict(classes=[str(n) for n in range(30)], cells=cells)
    names, short = confusion.shorten(model, most=5)
    assert names == ['3', '7', '20', '21', 'other classes', 'background']
    assert short[0].tolist() == [1, 2, 0, 0, 0, 0]
    assert short[4].tolist() == [0, 0, 0, 0, 26, 0]
    assert short[5].tolist() == [0, 0, 0, 0, 4, 0]
    assert short.sum() == confusion.matrix_of(model).sum()


def test_calibration_by_hand():
    numbers, figure = concluded(calibration)
    (model,) = numbers['models']
    bins = {round(10 * b['low']): b for b in model['bins'] if b['count']}
    # In 0.9 to 1: 0.95 wrong, 0.91 right with IoU 1. In 0.7 to 0.8: 0.71, IoU 0.6.
    both = dict(count=2, score=0.93, right=0.5, iou_of_right=1, iou=0.5)
    assert {k: bins[9][k] for k in both} == close(both)
    one = dict(count=1, score=0.71, right=1, iou_of_right=0.6, iou=0.6)
    assert {k: bins[7][k] for k in one} == close(one)
    assert bins[6]['iou_of_right'] is None and bins[6]['iou'] == 0
    assert sorted(bins) == [1, 2, 4, 6, 7, 8, 9]
    # 0.8 to 0.9: 0.86 right, 0.81 wrong. Nine detections count.
    distances = [0.15, 0.21, 0.41, 0.61, 0.29, 2 * 0.335, 2 * 0.43]
    assert model['ece'] == close(sum(distances) / 9)
    assert not model['scores_are_ious']
    share = next(line for line in figure.axes[0].lines if 'share' in line.get_label())
    assert share.get_xydata()[-1].tolist() == close([0.93, 0.5])
    numbers, _ = concluded(calibration, HAND, QualityFocalLoss)
    assert numbers['models'][0]['scores_are_ious']
    assert calibration.tables(numbers)[0].rows[0][2] == 'IoU with the object'


def test_nothing_there_and_nothing_found():
    nothing = instances([], [])
    found = HAND[0].found
    for look in (
        Look('0.png', nothing, nothing, instances([], [], [])),
        Look('0.png', nothing, nothing, found),
        Look('0.png', HAND[0].truth, nothing, instances([], [], [])),
        Look('0.png', nothing, HAND[0].crowds, found),
    ):
        looks = {0: look}
        concluded(thresholds, looks)
        concluded(error_types, looks)
        concluded(confusion, looks, score_threshold='best')
        concluded(calibration, looks)


def test_a_model_that_finds_nothing():
    """No class is named twice, nothing lies left of 0, and there is no ECE."""
    looks = {
        0: Look('0.png', HAND[0].truth, HAND[0].crowds, instances([], [], [])),
        1: Look('1.png', HAND[1].truth, HAND[1].crowds, instances([], [], [])),
    }
    _, figure = concluded(thresholds, looks)
    named = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert named == ['cat', 'dog', 'mean: AP 0.0 %', 'all detections']
    numbers, figure = concluded(error_types, looks)
    assert figure.axes[0].get_xlim()[0] == 0
    (table,) = error_types.tables(numbers)
    assert 'every object was missed keeps AP 0' in table.notes[-1]
    numbers, figure = concluded(calibration, looks)
    assert numbers['models'][0]['ece'] is None
    assert calibration.tables(numbers)[0].rows[0][1] == '–'
    assert 'ECE –' in figure.axes[0].get_title()


def test_many_classes_are_summarised():
    classes = [f'class {n}' for n in range(80)]
    looks = {
        n: Look(
            f'{n}.png',
            instances([at(0)], [n]),
            instances([], []),
            instances([at(0), at(30)], [n, n], [0.5, 0.9 if n % 4 else 0.1]),
        )
        for n in range(80)
    }
    models, observers = observed(looks)
    models[0].classes = classes
    numbers, _ = thresholds.conclude(models, observers)
    (table,) = thresholds.tables(numbers)
    assert len(table.rows) == 21 and '20 of 80 classes' in table.notes[0]
    # A class with the wrong detection first has 2/3, not 1.
    assert {row[3] for row in table.rows[1:]} == {'66.7'}


def check_set(seed):
    looks, iou = random_looks(seed), (0.5, 0.75)[seed % 2]
    names = [str(n) for n in range(4)]
    graded = grade(looks, names, iou)
    whole = evaluated(looks, 4, iou)
    counting, objects = matched(whole)
    # Who counts, who is right, and with which IoU.
    assert len(graded.scores) == len(counting)
    rows = [whole.cocoDt.anns[name] for name in sorted(counting)]
    assert graded.scores.tolist() == [row['score'] for row in rows]
    assert graded.labels.tolist() == [row['category_id'] - 1 for row in rows]
    assert graded.right.tolist() == [row['id'] in objects for row in rows]
    # Precision at each recall, bit by bit.
    graded.evaluation.accumulate()
    precision = graded.evaluation.eval['precision']
    assert np.array_equal(precision, whole.eval['precision'])
    assert list(graded.objects.values()) == [
        sum(row['category_id'] == n + 1 for row in whole.cocoGt.anns.values())
        - sum(int((look.crowds.labels == n).sum()) for look in looks.values())
        for n in range(4)
    ]
    # Without crowds and what does not count, pycocotools matches regardless of class.
    kept, clean = iter(range(1, 10_000)), {}
    for image, look in looks.items():
        mine = [next(kept) in counting for _ in range(len(look.found))]
        found = look.found[np.flatnonzero(mine)]
        clean[image] = Look(look.file, look.truth, look.crowds[:0], found)
    clean_eval = evaluated(clean, 4, iou)
    clean_counting, clean_objects = matched(clean_eval)
    assert len(clean_objects) == len(objects)
    if all(len(look.found) <= 100 for look in clean.values()):
        mixed = evaluated(clean, 4, iou, use_classes=False)
        _, pairs = matched(mixed)
        matrix = np.zeros((5, 5), int)
        label = {k: v['category_id'] - 1 for k, v in mixed.cocoDt.anns.items()}
        truth = {k: v['category_id'] - 1 for k, v in mixed.cocoGt.anns.items()}
        for name, place in label.items():
            matrix[truth[pairs[name]] if name in pairs else 4, place] += 1
        for name in truth.keys() - pairs.values():
            matrix[truth[name], 4] += 1
        assert (confusion.confusion_matrix(graded, iou, 0.0) == matrix).all()
    ap, counts, lost = error_types_by_loops(
        clean_eval, clean_counting, clean_objects, iou
    )
    measured = graded.evaluation.tide_errors(iou, 0.1)
    assert measured['ap_base'] == pytest.approx(ap, abs=1e-9)
    assert measured['counts'] == counts
    tied = len({*graded.scores.tolist()}) < len(graded.scores)
    for kind, value in lost.items():
        # Where a detection of a mended class stands among equal scores is a matter of
        # taste.
        if not (kind == 'Cls' and tied):
            found = measured['delta_ap'][kind]
            assert found == pytest.approx(max(value, 0), abs=1e-9), kind
    place = np.minimum((graded.scores * 10).astype(int), 9)
    ece = 0.0
    for number, one in enumerate(calibration.calibrate(graded, iou)['bins']):
        mine = place == number
        assert one['count'] == mine.sum()
        if mine.any():
            mean = graded.scores[mine].mean(), graded.right[mine].mean()
            assert (one['score'], one['right']) == pytest.approx(mean, abs=1e-12)
            ece += abs(mean[0] - mean[1]) * mine.mean()
    measured = calibration.calibrate(graded, iou)['ece']
    expected = pytest.approx(ece, abs=1e-12) if len(graded.scores) else None
    assert measured == expected


def test_as_pycocotools_and_loops_on_random_sets():
    check_each(check_set, range(60))


@pytest.mark.slow
def test_as_pycocotools_and_loops_on_more_random_sets():
    check_each(check_set, range(60, 400))
