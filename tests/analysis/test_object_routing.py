"""Routing by class and size of the queries' objects, by hand and against a loop."""

import jsonschema
import numpy as np
import pytest
import torch

from mmdet_qrpaq.analysis.matching import MatchedBatch
from mmdet_qrpaq.analysis.object_sizes import BOUNDS, SIZES, object_counts
from mmdet_qrpaq.analysis.routing.decisions import describe_layer, describe_layers
from mmdet_qrpaq.analysis.routing.objects import OBJECTS, ObjectRouting, draw


def batch_of(matched, labels, areas):
    """Queries whose objects are squares of these areas, in pixels of the file."""
    sides = torch.as_tensor(areas, dtype=torch.float64).sqrt()
    truth = torch.stack([torch.zeros_like(sides)] * 2 + [sides] * 2, -1)
    matched, labels = torch.as_tensor(matched), torch.as_tensor(labels)
    return MatchedBatch(None, None, matched, labels, None, truth, int(matched.sum()))


def count(classes, batches):
    """`batches`: (batch, decisions of each layer)."""
    routing = ObjectRouting(classes)
    for batch, decisions in batches:
        routing.add(batch, [torch.as_tensor(enter) for enter in decisions])
    return routing.numbers()


def test_sizes_are_cocos():
    assert SIZES == ('small', 'medium', 'large')
    assert BOUNDS == (32**2, 96**2)


def test_shares_by_hand():
    """Four queries, two layers: a small a, a large b, a medium a, one background."""
    batch = batch_of(
        [[True, True, True, False]], [[0, 1, 0, 1]], [[100, 10000, 2000, 5]]
    )
    decisions = [[[True, True, False, True]], [[False, True, False, False]]]
    numbers = count(['a', 'b', 'c'], [(batch, decisions)])
    assert numbers == dict(
        sizes=[
            dict(name='small', queries=1, entered=[1, 0], mean=0.5),
            dict(name='medium', queries=1, entered=[0, 0], mean=0),
            dict(name='large', queries=1, entered=[1, 1], mean=1),
        ],
        classes=[
            dict(name='a', queries=2, entered=[0.5, 0], mean=0.25),
            dict(name='b', queries=1, entered=[1, 1], mean=1),
            dict(name='c', queries=0, entered=[None, None], mean=None),
        ],
        background=dict(name='background', queries=1, entered=[1, 0], mean=0.5),
    )


def test_shares_equal_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    classes, shape = ['a', 'b', 'c'], (3, 7)
    batches, seen = [], []
    for _ in range(3):
        matched = rng.random(shape) < 0.5
        labels = rng.integers(0, 2, shape)  # c never occurs
        areas = rng.choice([10, 1023, 1024, 5000, 9215, 9216, 90000], shape)
        decisions = rng.random((2, *shape)) < 0.6
        batches.append((batch_of(matched, labels, areas), decisions))
        for place in np.ndindex(shape):
            enter = decisions[(slice(None), *place)]
            seen.append((matched[place], labels[place], areas[place], enter))
    numbers = count(classes, batches)

    def shares(chosen):
        rows = [enter for *_, enter in chosen]
        return len(rows), np.mean(rows, 0).tolist() if rows else [None, None]

    objects = [row for row in seen if row[0]]
    limits = ((0, 1024), (1024, 9216), (9216, np.inf))
    expected = [
        [shares([r for r in objects if low <= r[2] < high]) for low, high in limits],
        [shares([r for r in objects if r[1] == label]) for label in range(3)],
        [shares([r for r in seen if not r[0]])],
    ]
    found = [numbers['sizes'], numbers['classes'], [numbers['background']]]
    for rows, wanted in zip(found, expected, strict=True):
        for row, (queries, entered) in zip(rows, wanted, strict=True):
            assert row['queries'] == queries
            assert row['entered'] == pytest.approx(entered)
    jsonschema.validate(numbers, OBJECTS)


def test_figure_shows_the_shares():
    batch = batch_of([[True, True, False]], [[0, 1, 0]], [[100, 10000, 5]])
    decisions = [[[True, False, True]], [[False, True, True]]]
    objects = count(['a', 'b'], [(batch, decisions)])
    layers = [
        describe_layer(index, 'layer', np.array([0, 0, 1, 0]), np.array([1, 0, 1]))
        for index in range(2)
    ]
    shares, *_ = draw(dict(describe_layers(layers), objects=objects)).subfigs[1].axes
    drawn = shares.images[0].get_array()
    names = [label.get_text() for label in shares.get_xticklabels()]
    assert names == ['small', 'medium', 'large', 'a', 'b', 'background']
    nan = np.nan
    wanted = [[100, nan, 0, 100, 0, 100], [0, nan, 100, 0, 100, 100]]
    np.testing.assert_array_equal(drawn.filled(nan), wanted)


class Boxes(list):
    """Stands in for a data set: what each image holds."""

    metainfo = dict(classes=('a', 'b', 'c'))

    def get_data_info(self, index):
        return dict(instances=self[index])


def test_objects_are_counted_without_crowds():
    box = [0, 0, 32, 32]
    instances = [
        dict(bbox=box, bbox_label=0, ignore_flag=0),
        dict(bbox=[0, 0, 10, 10], bbox_label=2, ignore_flag=0),
        dict(bbox=box, bbox_label=1, ignore_flag=1),
    ]
    assert object_counts(Boxes([instances, [], instances[:1]])) == dict(
        num_images=3,
        num_objects=3,
        sizes=dict(small=1, medium=2, large=0),
        classes=dict(a=2, b=0, c=1),
    )
