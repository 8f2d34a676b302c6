"""t-SNE of W^D: what becomes a point, and the number that goes with the figure."""

import itertools
import json
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch.utils.data import DataLoader

from mmdet_qrpaq.analysis.one_pass import one_pass
from mmdet_qrpaq.analysis.patterns.embedding import (
    SCHEMA,
    EmbeddingObserver,
    chance_agreement,
    conclude,
    neighbour_agreement,
    observe,
    tables,
)
from mmdet_qrpaq.analysis.patterns.points import Point, supercategories
from mmdet_qrpaq.analysis.patterns.section import EMBEDDING
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import build_host, build_upstream

NAMES = ('cat', 'dog', 'bus')
BLUE, GREY = (20, 40, 250), (90, 90, 90)  # RGB


def test_nearest_neighbours_by_hand():
    rows = np.array([[0.0, 0], [1, 0], [1.5, 0], [9, 9], [9, 8]])
    # Nearest: 0 -> 1, 1 -> 2, 2 -> 1, 3 -> 4, 4 -> 3.
    assert neighbour_agreement(rows, list('aabcc')) == pytest.approx(3 / 5)
    # A row is not its own neighbour, not even if another is equal.
    assert neighbour_agreement(np.zeros((2, 3)), ['a', 'b']) == 0


@given(st.lists(st.sampled_from('abc'), min_size=2, max_size=12))
def test_chance_is_the_share_of_equal_pairs(groups):
    pairs = list(itertools.permutations(groups, 2))
    expected = sum(one == other for one, other in pairs) / len(pairs)
    assert chance_agreement(groups) == pytest.approx(expected)


class Images:
    """A data set of grey images, 64 high and 96 wide, each with a blue box."""

    metainfo = dict(classes=NAMES)
    LABELS = ([1, 0], [2], [])
    # Wider than the first, so that the first object is not the largest.
    BOXES = torch.tensor([[8.0, 8, 24, 24], [40, 16, 80, 56]])

    def __init__(self):
        step = type('LoadAnnotations', (), {})()
        resize = type('Resize', (), {})()
        self.pipeline = SimpleNamespace(transforms=[step, resize])

    def __len__(self):
        return len(self.LABELS)

    def __getitem__(self, index):
        labels = torch.tensor(self.LABELS[index], dtype=torch.long)
        boxes = self.BOXES[: len(labels)]
        image = torch.tensor(GREY[::-1], dtype=torch.uint8)[:, None, None]
        image = image.repeat(1, 64, 96)
        for left, top, right, bottom in boxes.int().tolist():
            colour = torch.tensor(BLUE[::-1], dtype=torch.uint8)[:, None, None]
            image[:, top:bottom, left:right] = colour
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(64, 96),
                ori_shape=(64, 96),
                batch_input_shape=(64, 96),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        return dict(inputs=image, data_samples=sample)


@pytest.fixture(scope='module')
def detector():
    return build_host('dino', 'p').eval()


def model_of(detector, batch_size=2):
    loader = DataLoader(Images(), batch_size, collate_fn=pseudo_collate)
    return SimpleNamespace(
        name='m', detector=detector, dataloader=loader, classes=list(NAMES)
    )


def collect(detector, points, num_images=3, batch_size=2, **thresholds):
    """Points, and W^D of each image as its generator gives it."""
    options = EMBEDDING.choose(points=points, num_images=num_images, **thresholds)
    model, weights = model_of(detector, batch_size), []
    (observer,) = observe([model], **options)
    generator = detector.pattern_query_generator.weight_generator
    handle = generator.register_forward_hook(lambda *args: weights.append(args[2]))
    one_pass(model, [observer])
    handle.remove()
    return observer.found, torch.cat(weights).numpy()


@pytest.mark.parametrize('batch_size', [1, 2])
def test_an_image_is_all_its_weights_and_its_largest_class(detector, batch_size):
    found, weights = collect(detector, 'pictures', batch_size=batch_size)
    assert [point.image for point in found] == [0, 1]  # the third shows nothing
    assert [NAMES[point.label] for point in found] == ['cat', 'bus']
    for point, expected in zip(found, weights, strict=False):
        np.testing.assert_array_equal(point.weights, expected.ravel())
        assert point.thumbnail.shape == (59, 88, 3)
        assert point.thumbnail[-1, -1].tolist() == list(GREY)


def test_a_detection_is_a_row_and_its_box(detector, monkeypatch):
    """Queries 5 and 2 are made to find the two objects of the first image."""
    boxes = torch.full((1, 12, 4), 0.01)
    boxes[0, [5, 2]] = torch.tensor(
        [[16 / 96, 16 / 64, 16 / 96, 16 / 64], [60 / 96, 36 / 64, 40 / 96, 40 / 64]]
    )
    logits = torch.full((1, 12, 3), -4.0)
    logits[0, 5, 1] = logits[0, 2, 0] = 4.0
    monkeypatch.setattr(
        detector.bbox_head,
        'forward',
        lambda hidden_states, *_, **__: [
            values.expand(1, len(hidden_states[0]), -1, -1)
            for values in (logits, boxes)
        ],
    )
    thresholds = dict(score_threshold=0.9, iou_threshold=0.9)
    found, weights = collect(detector, 'detections', **thresholds)
    # In the second image query 5 has the wrong class for its box.
    assert [(point.image, NAMES[point.label]) for point in found] == [
        (0, 'cat'),
        (0, 'dog'),
    ]
    for point, query in zip(found, (2, 5), strict=True):
        np.testing.assert_array_equal(point.weights, weights[0, query])
        assert (point.thumbnail == BLUE).all()


def test_images_are_spread_over_the_data_set(detector):
    """Of three images two: the first and the last, which shows nothing."""
    found, weights = collect(detector, 'pictures', num_images=2)
    assert [point.image for point in found] == [0]
    assert len(weights) == 2


def points(rows, labels):
    thumbnail = np.full((50, 88, 3), 99, np.uint8)
    return [
        Point(np.asarray(row, np.float32), label, index, thumbnail)
        for index, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]


def lay_out(found, num_images=50, groups=NAMES, **options):
    """Numbers and figure of points that were found."""
    chosen = EMBEDDING.choose(**options)
    observer = EmbeddingObserver(
        images=range(num_images),
        points=chosen['points'],
        by=chosen['by'],
        groups=groups,
        thresholds=(chosen['score_threshold'], chosen['iou_threshold']),
        seed=chosen['seed'],
        found=found,
    )
    return conclude([None], [observer])


def clusters(size=12):
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(6), 2 * size) * 0.1
    rows[:size, 0] += 0.9
    rows[size:, 1] += 0.9
    return points(rows, [0] * size + [1] * size)


def test_clusters_stay_apart_and_seeds_repeat():
    numbers, figure = lay_out(clusters(), seed=3)
    jsonschema.validate(numbers, SCHEMA)
    positions = np.array([[point['x'], point['y']] for point in numbers['embedding']])
    first, second = positions[:12], positions[12:]
    centre = np.linalg.norm(first.mean(0) - second.mean(0))
    spread = max(np.linalg.norm(p - p.mean(0), axis=1).max() for p in (first, second))
    assert centre > 2 * spread
    assert numbers['neighbour_agreement'] == 1
    assert numbers['chance_agreement'] == pytest.approx(11 / 23)
    assert numbers['perplexity'] == pytest.approx(23 / 3)
    assert lay_out(clusters(), seed=3)[0] == numbers
    assert (numbers['num_images'], numbers['num_without_points']) == (50, 26)
    (legend,) = figure.legends
    assert legend.get_title().get_text() == 'class that covers most'
    labels = legend.get_texts()
    assert [text.get_text() for text in labels] == ['cat (12)', 'dog (12)']
    (table,) = tables(numbers)
    assert table.rows == [['images', '24', '100.0', '47.8']]


def test_groups_and_perplexity():
    numbers, _ = lay_out(clusters(50), groups=['animal', 'animal', 'vehicle'])
    groups = {point['group'] for point in numbers['embedding']}
    assert (groups, numbers['perplexity']) == ({'animal'}, 30)


@pytest.mark.parametrize(
    ('found', 'options', 'words'),
    [
        (clusters(4), {}, 'at least 10 images, and there are 8 with objects in 20 '),
        ([], dict(points='detections'), r'are 0 \(score >= 0.5, IoU >= 0.7\)'),
        (points([[0.5, 0.5]] * 10, [0] * 10), {}, 'does not look at the image'),
    ],
)
def test_what_gives_no_figure(found, options, words):
    with pytest.raises(ConfigError, match=words):
        lay_out(found, num_images=20, **options)


def test_models_that_have_no_such_points():
    with pytest.raises(ConfigError, match='has no patterns'):
        observe([model_of(build_upstream('dino'))], **EMBEDDING.choose())
    detector = build_host('dino', 'p')
    del detector.bbox_head.assigner
    with pytest.raises(ConfigError, match='keep train_cfg'):
        observe([model_of(detector)], **EMBEDDING.choose(points='detections'))


def test_supercategories_come_from_the_file(tmp_path):
    path = tmp_path / 'val.json'
    dataset = SimpleNamespace(ann_file=str(path), metainfo=dict(classes=['cat', 'bus']))
    categories = [dict(name='cat', supercategory='animal'), dict(name='bus')]
    path.write_text(json.dumps(dict(categories=categories)))
    with pytest.raises(ConfigError, match="gives class 'bus' no supercategory"):
        supercategories(dataset)
    categories[1]['supercategory'] = 'vehicle'
    path.write_text(json.dumps(dict(categories=categories)))
    assert supercategories(dataset) == dict(cat='animal', bus='vehicle')
    dataset.ann_file = ''
    with pytest.raises(ConfigError, match='this data set gives'):
        supercategories(dataset)
