"""Best thresholds of scores worked by hand, and their file beside a checkpoint."""

from pathlib import Path

import numpy as np
import pytest

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.operating_points import (
    OperatingPoint,
    OperatingPoints,
    best_point,
    best_thresholds,
    path_of,
    read,
    write,
)


def test_best_point_by_hand():
    # 4 objects. From the highest score on, right or wrong, and 2 right / (n + 4):
    #   0.9 right 2/5 = 0.40 | 0.8 right 4/6 = 0.67 | 0.5 wrong and 0.5 right, together
    #   6/8 = 0.75 | 0.3 wrong 6/9 | 0.1 right 8/10 = 0.80
    scores = np.array([0.5, 0.9, 0.1, 0.8, 0.5, 0.3], np.float32)
    right = np.array([False, True, True, True, True, False])
    found = best_point(scores, right, 4)
    assert (found.f1, found.precision, found.recall) == (0.8, 4 / 6, 1.0)
    assert found.threshold == pytest.approx(0.05)  # midway from 0.1 to nothing
    # Without the last: 6/8, and the threshold lies midway from 0.5 to 0.3.
    found = best_point(np.delete(scores, 2), np.delete(right, 2), 4)
    assert (found.f1, found.precision, found.recall) == (0.75, 0.75, 0.75)
    assert found.threshold == pytest.approx(0.4)
    # Of 0.9 right 2/3 and 0.9, 0.8 wrong, 0.7 right 4/6, the higher threshold.
    found = best_point(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 3)
    assert found.f1 == pytest.approx(2 * 2 / 6) and found.threshold == 0.35
    found = best_point(np.array([0.9, 0.8]), np.array([True, False]), 2)
    assert found.threshold == pytest.approx(0.85)


def test_best_point_is_that_of_every_threshold_tried():
    rng = np.random.default_rng(0)
    for _ in range(200):
        number, objects = rng.integers(0, 30), int(rng.integers(1, 20))
        scores = rng.integers(0, 12, number) / 12
        right = (rng.random(number) < 0.5) & (np.arange(number) < objects)
        found = best_point(scores, right, objects)
        tried = []
        for threshold in {*scores, 2.0}:
            counts = scores >= threshold
            tried.append(2 * (right & counts).sum() / (counts.sum() + objects))
        assert found.f1 == pytest.approx(max(tried), abs=1e-12)
        if found.f1:
            counts = scores >= found.threshold
            f1 = 2 * (right & counts).sum() / (counts.sum() + objects)
            assert f1 == pytest.approx(found.f1, abs=1e-12)


def test_nothing_found_nothing_right_nothing_there():
    nothing = np.zeros(0), np.zeros(0, bool)
    assert best_point(*nothing, 3) == OperatingPoint(0.5, 0, 0, 0, 3)
    assert best_point(*nothing, 0) == OperatingPoint(0.5, 0, 0, 0, 0)
    wrong = best_point(np.array([0.9]), np.array([False]), 3)
    assert wrong == OperatingPoint(0.5, 0, 0, 0, 3)


def test_a_class_that_nothing_is_found_of_has_the_common_threshold():
    scores, right = np.array([0.9, 0.7, 0.6]), np.array([True, True, False])
    objects = dict(cat=2, dog=1, cow=0)
    overall, classes = best_thresholds(scores, right, np.array([0, 0, 1]), objects)
    assert (overall.threshold, overall.objects) == (pytest.approx(0.65), 3)
    assert classes['cat'] == OperatingPoint(0.35, 1, 1, 1, 2)
    assert classes['dog'].threshold == classes['cow'].threshold == overall.threshold
    assert list(classes) == ['cat', 'dog', 'cow']


@pytest.fixture
def points() -> OperatingPoints:
    point = OperatingPoint(0.123456789012345, 0.5, 0.5, 0.5, 7)
    return OperatingPoints(point, {'a/b "c"': point}, 'val.json', 12)


def test_written_and_read(tmp_path: Path, points: OperatingPoints):
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.write_bytes(b'weights')
    assert read(checkpoint) is None
    assert read('https://somewhere.org/epoch_1.pth') is None
    path = write(points, checkpoint)
    assert path == path_of(checkpoint) == tmp_path / 'epoch_1.pth.operating_points.json'
    found = read(str(checkpoint))
    assert found.classes == points.classes and found.overall == points.overall
    assert found.threshold_of('a/b "c"') == found.threshold_of('new')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['epoch_1.pth', path.name]


def test_each_checkpoint_has_its_own(tmp_path: Path, points: OperatingPoints):
    """Names that differ in what follows the last dot; a link has those of its file."""
    for name in ('model.v1', 'model.v2', 'e.pth', 'e.pt'):
        checkpoint = tmp_path / name
        checkpoint.write_bytes(name.encode())
        assert read(checkpoint) is None
        write(points, checkpoint)
    (tmp_path / 'links').mkdir()
    link = tmp_path / 'links' / 'best.pth'
    link.symlink_to(tmp_path / 'e.pt')
    assert read(link) == read(tmp_path / 'e.pt') != read(tmp_path / 'e.pth')
    assert write(points, link).parent == tmp_path.resolve()


def test_other_weights_and_damage_are_one_sentence(
    tmp_path: Path, points: OperatingPoints
):
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.write_bytes(b'weights')
    path = write(points, checkpoint)
    whole = path.read_text()
    checkpoint.write_bytes(b'others')
    with pytest.raises(
        ConfigError, match='of other weights .*a --threshold, or remove'
    ):
        read(checkpoint)
    checkpoint.write_bytes(b'weights')
    for text in (
        *(whole[:-9], '', '[]', '{}', '\xff', whole.replace('0.5', '1.5')),
        *(whole.replace('0.5', '"high"'), whole.replace('7', '-7')),
    ):
        path.write_text(text, encoding='latin-1')
        with pytest.raises(ConfigError, match='holds no operating points'):
            read(checkpoint)
