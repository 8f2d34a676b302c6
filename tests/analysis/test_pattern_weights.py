"""W^D of successful detections against a second implementation in NumPy."""

import json
import math
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch

from mmdet_qrpaq.analysis.command_line import main
from mmdet_qrpaq.analysis.listening import listening
from mmdet_qrpaq.analysis.matching import MatchedBatch
from mmdet_qrpaq.analysis.one_pass import SeenBatch
from mmdet_qrpaq.analysis.patterns import embedding
from mmdet_qrpaq.analysis.patterns.capture import effective_patterns
from mmdet_qrpaq.analysis.patterns.section import EMBEDDING, WEIGHTS
from mmdet_qrpaq.analysis.patterns.weights import (
    SCHEMA,
    conclude,
    describe,
    draw,
    observe,
    tables,
)
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.tables import print_table
from tiny_hosts import NUM_QUERIES, build_host, build_upstream, make_batch
from tiny_runs import CLASSES, CONFIG, save_untrained, write_dataset

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


def by_hand(num_patterns=3, **weights):
    """Two patterns at right angles and one like the first but opposite."""
    cosine = np.array([[1.0, 0, -1], [0, 1, 0], [-1, 0, 1]])[:num_patterns]
    rows = {name: np.array(values) for name, values in weights.items()}
    mean = [1 / num_patterns] * num_patterns
    numbers = describe(
        rows,
        cosine[:, :num_patterns],
        num_images=5,
        num_queries=8,
        score_threshold=0.5,
        iou_threshold=0.7,
        all_queries=dict(mean_weights=mean, effective_patterns=float(num_patterns)),
    )
    jsonschema.validate(numbers, SCHEMA)
    return numbers, rows


def test_numbers_by_hand():
    found, _ = by_hand(
        cat=[[1.0, 0, 0], [0.5, 0.5, 0]], dog=[[0, 0.5, 0.5]], owl=[[0, 0, 1.0]]
    )
    cat = found['classes'][0]
    assert cat['mean_weights'] == [0.75, 0.25, 0]
    assert cat['std_weights'] == [0.25, 0.25, 0]
    assert cat['effective_patterns'] == pytest.approx(1.5)
    # Pairs 0-1, 0-2, 1-2, both ways: 0, 1, 0.
    assert found['mean_abs_cosine'] == pytest.approx(1 / 3)
    assert found['overlap'] == [[1, 0.25, 0], [0.25, 1, 0.5], [0, 0.5, 1]]
    (table,) = tables(found)
    assert table.rows[0] == ['cat', '2', '1.50', '0 (0.75), 1 (0.25), 2 (0.00)']
    assert table.rows[3] == ['all queries', '–', '3.00', '0 (0.33), 1 (0.33), 2 (0.33)']
    assert table.caption == 'W^D of 3 patterns over 5 images; mean absolute cosine 0.33'


def test_figure_shows_every_detection_and_the_means():
    figure = draw(*by_hand(cat=[[1.0, 0, 0], [0.5, 0.5, 0]], dog=[[0, 0.5, 0.5]]))
    top, bottom = figure.subfigs
    heat = [axes.images[0].get_array() for axes in top.axes[::2][:2]]
    assert [rows.shape for rows in heat] == [(2, 3), (1, 3)]
    means = bottom.axes[0].images[0].get_array()
    np.testing.assert_allclose(means, [[0.75, 0.25, 0], [0, 0.5, 0.5], [1 / 3] * 3])
    assert bottom.axes[1].images[0].get_array().tolist()[2] == [-1, 0, 1]


def test_a_single_pattern_has_no_pairs():
    numbers, rows = by_hand(num_patterns=1, cat=np.ones((2, 1)))
    assert numbers['mean_abs_cosine'] is None
    draw(numbers, rows)


def batches(detector, good):
    """Two batches as a run shows them; query q is of class q % 3."""
    rng = torch.Generator().manual_seed(0)
    for number, chosen in enumerate(good):
        batch = make_batch([2, 1], seed=number)
        with listening(detector) as heard:
            detector(**batch, mode='tensor')
        labels = torch.arange(NUM_QUERIES).remainder(3).repeat(2, 1)
        scores = torch.rand(2, NUM_QUERIES, 3, generator=rng) * 0.4
        scores.scatter_(2, labels[..., None], torch.where(chosen, 0.9, 0.45)[..., None])
        boxes = torch.tensor([0.0, 0, 10, 10]).expand(2, NUM_QUERIES, 4)
        seen = SeenBatch(batch['data_samples'], heard, detector, None)
        seen.matched = MatchedBatch(
            scores, boxes, chosen, labels, boxes, boxes, num_objects=3
        )
        yield seen


@pytest.fixture
def measured():
    """Measures two batches in which these queries are successful."""

    def run(good, **options):
        options = dict(classes=None, score_threshold=0.5, iou_threshold=0.7) | options
        detector, weights = build_host('dino', 'p').eval(), []
        model = SimpleNamespace(detector=detector, classes=list(NAMES))
        (observer,) = observe([model], **options)
        generator = detector.pattern_query_generator.weight_generator
        handle = generator.register_forward_hook(lambda *args: weights.append(args[2]))
        with torch.no_grad():
            for batch in batches(detector, good):
                observer.see(batch)
        handle.remove()
        numbers, _ = conclude([model], [observer])
        rows = observer.rows_of(model.classes)
        return numbers, rows, torch.stack(weights).numpy(), detector

    return run


GOOD = torch.zeros(2, 2, NUM_QUERIES, dtype=torch.bool)
GOOD[0, 0, [0, 1, 3]] = GOOD[0, 1, 1] = GOOD[1, 0, [4, 7]] = True


def test_rows_are_those_of_the_successful_queries(measured):
    numbers, rows, weights, detector = measured(GOOD)
    # Classes 0: queries 0 and 3; 1: queries 1, 1, 4, 7; 2: none.
    assert [row['name'] for row in numbers['classes']] == ['dog', 'cat']
    by_hand = [weights[0, 0, 1], weights[0, 1, 1], weights[1, 0, 4], weights[1, 0, 7]]
    np.testing.assert_array_equal(rows['dog'], by_hand)
    np.testing.assert_array_equal(rows['cat'], weights[0, 0, [0, 3]])
    everything = numbers['all_queries']
    mean = weights.mean((0, 1, 2))
    np.testing.assert_allclose(everything['mean_weights'], mean, rtol=1e-5)
    effective = np.exp(-(weights * np.log(weights)).sum(-1)).mean()
    assert everything['effective_patterns'] == pytest.approx(effective, rel=1e-5)
    jsonschema.validate(numbers, SCHEMA)
    assert (numbers['num_images'], numbers['num_queries']) == (4, NUM_QUERIES)
    patterns = detector.pattern_query_generator.patterns.weight.detach().numpy()
    for i, row in enumerate(patterns):
        for j, other in enumerate(patterns):
            dot = sum(a * b for a, b in zip(row, other, strict=True))
            expected = dot / math.hypot(*row) / math.hypot(*other)
            assert numbers['cosine'][i][j] == pytest.approx(expected, abs=1e-5)


def test_thresholds_and_chosen_classes(measured):
    assert list(measured(GOOD, classes=['cat'])[1]) == ['cat']
    with pytest.raises(ConfigError, match="'owl' is never detected .* in 4 images"):
        measured(GOOD, classes=['cat', 'owl'])
    with pytest.raises(ConfigError, match="no class 'cow'; .* cat, dog, owl"):
        measured(GOOD, classes=['cow'])
    for options in (dict(score_threshold=0.95), dict(iou_threshold=1.01)):
        with pytest.raises(ConfigError, match='nothing is detected successfully'):
            measured(GOOD, **options)


@pytest.mark.parametrize('build', [build_upstream, build_host])
def test_models_without_patterns_are_refused(build):
    with pytest.raises(ConfigError, match='has no patterns: set model.pattern_query'):
        observe([SimpleNamespace(detector=build('dino'))], None, 0.5, 0.7)


def test_no_hook_is_left_behind(measured):
    *_, detector = measured(GOOD)
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


def analyse(section, *words):
    main(section, 'x', [str(word) for word in words])


def test_weights_through_the_command(run, tmp_path, capsys):
    out = tmp_path / 'new' / 'weights.json'
    analyse(WEIGHTS, *run, *LOOSE, '--out', out)
    numbers = json.loads(out.read_text())['numbers']
    assert (numbers['num_patterns'], numbers['num_images']) == (4, 12)
    for row in (numbers['all_queries'], *numbers['classes']):
        assert sum(row['mean_weights']) == pytest.approx(1)
        assert 1 <= row['effective_patterns'] <= 4
    assert out.with_suffix('.png').stat().st_size > 10_000
    printed = capsys.readouterr().out
    for table in tables(numbers):
        print_table(table)
    assert capsys.readouterr().out in printed
    with pytest.raises(ConfigError, match='nothing is detected successfully'):
        analyse(WEIGHTS, *run, '--score-threshold', 1)


@pytest.mark.parametrize('by', ['class', 'supercategory'])
def test_embedding_through_the_command(run, tmp_path, capsys, by):
    out = tmp_path / 'new' / 'embedding.json'
    analyse(EMBEDDING, *run, '--by', by, '--out', out)
    result = json.loads(out.read_text())
    numbers = result['numbers']
    assert result['origin']['options']['by'] == by
    # The square is 20 x 20, as the disc's box: the first of equals is the class.
    group = dict(zip(('class', 'supercategory'), ('square', 'angular'), strict=True))
    assert {point['group'] for point in numbers['embedding']} == {group[by]}
    assert [point['image'] for point in numbers['embedding']] == list(range(12))
    assert out.with_suffix('.png').stat().st_size > 10_000
    printed = capsys.readouterr().out
    for table in embedding.tables(numbers):
        print_table(table)
    assert capsys.readouterr().out in printed


@pytest.mark.parametrize('flag', ['--num-images', '--pictures'])
def test_few_images_are_refused(run, flag):
    with pytest.raises(ConfigError, match='at least 10 images, and there are 9 with'):
        analyse(EMBEDDING, *run, flag, 9)


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['--num-images', 0], 'must be a whole number from 1, got 0'),
        (['--seed', -1], 'must be a whole number from 0 to 4294967295, got -1'),
        (
            ['--seed', 2**32],
            'must be a whole number from 0 to 4294967295, got 4294967296',
        ),
        (['--points', 'images'], "invalid choice: 'images'"),
        (['--iou-threshold', 2], 'must be between 0 and 1, got 2'),
    ],
)
def test_options_that_cannot_work_are_refused(words, sentence, capsys):
    with pytest.raises(SystemExit):
        analyse(EMBEDDING, 'c.py', 'c.pth', *words)
    assert sentence in capsys.readouterr().err
