"""W^D of successful detections against a second implementation in NumPy."""

import json
import math
import sys
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch

from mmdet_qrpaq.analysis.matching import MatchedBatch
from mmdet_qrpaq.analysis.patterns import weights as pattern_weights
from mmdet_qrpaq.analysis.patterns.capture import captured_weights, effective_patterns
from mmdet_qrpaq.analysis.patterns.weights import SCHEMA, PatternWeights, draw, measure
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import NUM_QUERIES, build_host, build_upstream, make_batch
from tiny_runs import CLASSES, CONFIG, TOOLS, run_tool, save_untrained, write_dataset

sys.path.insert(0, str(TOOLS / 'analysis'))

PATTERNS = """
model.update(
    type='QRPaQDINO', pattern_query=dict(type='PatternQueryGenerator', num_patterns=4))
"""
NAMES = ('cat', 'dog', 'owl')


@pytest.mark.parametrize(
    ('row', 'expected'),
    [
        ([1, 0, 0, 0], 1),
        ([0.25] * 4, 4),
        ([0.5, 0.5, 0, 0], 2),
        # exp(3/4 log 4/3 + 1/4 log 4)
        ([0.75, 0.25, 0, 0], (4 / 3) ** 0.75 * 4**0.25),
    ],
)
def test_effective_patterns_by_hand(row, expected):
    assert float(effective_patterns(np.array(row, float))) == pytest.approx(expected)


def result(**weights):
    """Two patterns at right angles and one like the first but opposite."""
    cosine = np.array([[1.0, 0, -1], [0, 1, 0], [-1, 0, 1]])
    rows = {name: np.array(values) for name, values in weights.items()}
    return PatternWeights(rows, cosine, np.full(3, 1 / 3), 3.0, 5, 8, 0.5, 0.7)


def test_numbers_by_hand():
    found = result(
        cat=[[1.0, 0, 0], [0.5, 0.5, 0]], dog=[[0, 0.5, 0.5]], owl=[[0, 0, 1.0]]
    ).as_dict()
    jsonschema.validate(found, SCHEMA)
    cat = found['classes'][0]
    assert cat['mean_weights'] == [0.75, 0.25, 0]
    assert cat['std_weights'] == [0.25, 0.25, 0]
    assert cat['effective_patterns'] == pytest.approx(1.5)
    # Pairs 0-1, 0-2, 1-2, both ways: 0, 1, 0.
    assert found['mean_abs_cosine'] == pytest.approx(1 / 3)
    assert found['overlap'] == [[1, 0.25, 0], [0.25, 1, 0.5], [0, 0.5, 1]]


def test_picture_shows_every_detection_and_the_means():
    figure = draw(result(cat=[[1.0, 0, 0], [0.5, 0.5, 0]], dog=[[0, 0.5, 0.5]]))
    top, bottom = figure.subfigs
    heat = [axes.images[0].get_array() for axes in top.axes[::2][:2]]
    assert [rows.shape for rows in heat] == [(2, 3), (1, 3)]
    means = bottom.axes[0].images[0].get_array()
    np.testing.assert_allclose(means, [[0.75, 0.25, 0], [0, 0.5, 0.5], [1 / 3] * 3])
    assert bottom.axes[1].images[0].get_array().tolist()[2] == [-1, 0, 1]


def test_a_single_pattern_has_no_pairs():
    found = PatternWeights(
        {'cat': np.ones((2, 1))}, np.ones((1, 1)), np.ones(1), 1.0, 5, 8, 0.5, 0.7
    )
    assert found.as_dict()['mean_abs_cosine'] is None
    draw(found)


def batches(detector, good):
    """Two batches as `matched_batches` yields them; query q is of class q % 3."""
    rng = torch.Generator().manual_seed(0)
    for number, chosen in enumerate(good):
        batch = make_batch([2, 1], seed=number)
        detector(**batch, mode='tensor')
        labels = torch.arange(NUM_QUERIES).remainder(3).repeat(2, 1)
        scores = torch.rand(2, NUM_QUERIES, 3, generator=rng) * 0.4
        scores.scatter_(2, labels[..., None], torch.where(chosen, 0.9, 0.45)[..., None])
        boxes = torch.tensor([0.0, 0, 10, 10]).expand(2, NUM_QUERIES, 4)
        yield MatchedBatch(scores, boxes, chosen, labels, boxes, boxes, num_objects=3)


@pytest.fixture
def measured(monkeypatch):
    """Calls `measure` on two batches in which these queries are successful."""

    def run(good, **options):
        detector = build_host('dino', 'p').eval()
        loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=NAMES)))
        monkeypatch.setattr(
            pattern_weights, 'matched_batches', lambda *_: batches(detector, good)
        )
        with captured_weights(detector) as captured, torch.no_grad():
            found = measure(detector, loader, **options)
        return found, torch.stack(captured).numpy(), detector

    return run


GOOD = torch.zeros(2, 2, NUM_QUERIES, dtype=torch.bool)
GOOD[0, 0, [0, 1, 3]] = GOOD[0, 1, 1] = GOOD[1, 0, [4, 7]] = True


def test_rows_are_those_of_the_successful_queries(measured):
    found, weights, detector = measured(GOOD)
    # Classes 0: queries 0 and 3; 1: queries 1, 1, 4, 7; 2: none.
    assert list(found.weights) == ['dog', 'cat']
    by_hand = [weights[0, 0, 1], weights[0, 1, 1], weights[1, 0, 4], weights[1, 0, 7]]
    np.testing.assert_array_equal(found.weights['dog'], by_hand)
    np.testing.assert_array_equal(found.weights['cat'], weights[0, 0, [0, 3]])
    np.testing.assert_allclose(found.all_weights, weights.mean((0, 1, 2)), rtol=1e-5)
    entropy = -(weights * np.log(weights)).sum(-1)
    assert found.all_effective == pytest.approx(np.exp(entropy).mean(), rel=1e-5)
    numbers = found.as_dict()
    jsonschema.validate(numbers, SCHEMA)
    assert (numbers['num_images'], numbers['num_queries']) == (4, NUM_QUERIES)
    patterns = detector.pattern_query_generator.patterns.weight.detach().numpy()
    for i, row in enumerate(patterns):
        for j, other in enumerate(patterns):
            dot = sum(a * b for a, b in zip(row, other, strict=True))
            expected = dot / math.hypot(*row) / math.hypot(*other)
            assert found.cosine[i, j] == pytest.approx(expected, abs=1e-5)


def test_thresholds_and_chosen_classes(measured):
    assert list(measured(GOOD, classes=['cat'])[0].weights) == ['cat']
    with pytest.raises(ConfigError, match="'owl' is never detected .* in 4 pictures"):
        measured(GOOD, classes=['cat', 'owl'])
    with pytest.raises(ConfigError, match="no class 'cow'; .* cat, dog, owl"):
        measured(GOOD, classes=['cow'])
    for options in (dict(score_threshold=0.95), dict(iou_threshold=1.01)):
        with pytest.raises(ConfigError, match='nothing is detected successfully'):
            measured(GOOD, **options)


@pytest.mark.parametrize('build', [build_upstream, build_host])
def test_models_without_patterns_are_refused(build):
    with pytest.raises(ConfigError, match='has no patterns: set model.pattern_query'):
        measure(build('dino'), None)


def test_no_hook_is_left_behind(measured):
    _, _, detector = measured(GOOD)
    assert not detector.pattern_query_generator.weight_generator._forward_hooks


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A tiny model with patterns: its config and checkpoint."""
    root = tmp_path_factory.mktemp('patterns')
    dataset = write_dataset(root / 'data', num_val=12)
    content = json.loads((dataset / 'val.json').read_text())
    content['categories'][0]['supercategory'] = 'angular'
    content['categories'][1]['supercategory'] = 'round'
    (dataset / 'val.json').write_text(json.dumps(content))
    config, checkpoint = root / 'tiny.py', root / 'tiny.pth'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(dataset)) + PATTERNS)
    save_untrained(config, checkpoint)
    return config, checkpoint


LOOSE = ('--score-threshold', 0, '--iou-threshold', 0)


def test_weights_through_the_command(run, tmp_path):
    out = tmp_path / 'new' / 'weights.json'
    run_tool('analysis/pattern_weights', *run, *LOOSE, '--out', out)
    numbers = json.loads(out.read_text())['numbers']
    assert (numbers['num_patterns'], numbers['num_images']) == (4, 12)
    for row in (numbers['all_queries'], *numbers['classes']):
        assert sum(row['mean_weights']) == pytest.approx(1)
        assert 1 <= row['effective_patterns'] <= 4
    assert out.with_suffix('.png').stat().st_size > 10_000
    with pytest.raises(ConfigError, match='nothing is detected successfully'):
        run_tool('analysis/pattern_weights', *run, '--score-threshold', 1)


@pytest.mark.parametrize('by', ['class', 'supercategory'])
def test_embedding_through_the_command(run, tmp_path, by):
    out = tmp_path / 'new' / 'embedding.json'
    run_tool('analysis/pattern_embedding', *run, '--by', by, '--out', out)
    numbers = json.loads(out.read_text())['numbers']
    # The square is 20 x 20, as the disc's box: the first of equals is the class.
    group = dict(zip(('class', 'supercategory'), ('square', 'angular'), strict=True))
    assert {point['group'] for point in numbers['embedding']} == {group[by]}
    assert [point['image'] for point in numbers['embedding']] == list(range(12))
    assert out.with_suffix('.png').stat().st_size > 10_000


def test_few_pictures_are_refused(run, tmp_path):
    with pytest.raises(ConfigError, match='at least 10 pictures, and there are 9 with'):
        run_tool('analysis/pattern_embedding', *run, '--pictures', 9)
