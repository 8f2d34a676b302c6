import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.task_modules import HungarianAssigner
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_qrpaq.analysis.query_usage import (
    QueryUsage,
    add_image,
    count_query_hits,
    gini,
    lorenz_curve,
    write_query_usage,
)
from mmdet_qrpaq.errors import ConfigError

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ('counts', 'expected'),
    [
        ([4, 4, 4, 4], 0),
        ([0, 0, 0, 7], 3 / 4),
        ([5], 0),
        ([0, 0, 0], 0),
        # Pairs differ by 1, 2, 1, both ways: 8 / (2 * 9 * 2).
        ([1, 2, 3], 2 / 9),
        # 0-1: 1, 0-3: 3, 1-3: 2, both ways: 12 / (2 * 9 * 4 / 3).
        ([3, 0, 1], 1 / 2),
    ],
)
def test_gini_by_hand(counts, expected):
    assert gini(counts) == pytest.approx(expected, abs=1e-12)


@given(COUNTS)
def test_gini_equals_the_mean_difference_of_all_pairs(counts):
    x = np.array(counts, float)
    naive = 0.0
    if x.sum():
        naive = np.abs(x[:, None] - x[None]).mean() / (2 * x.mean())
    assert gini(counts) == pytest.approx(naive, abs=1e-9)


@given(COUNTS.filter(any), st.integers(2, 9))
def test_gini_ignores_order_and_scale(counts, factor):
    assert gini(counts[::-1]) == pytest.approx(gini(counts))
    assert gini([factor * count for count in counts]) == pytest.approx(gini(counts))


@given(COUNTS.filter(any))
def test_gini_is_twice_the_area_above_the_lorenz_curve(counts):
    x, y = lorenz_curve(counts)
    area = ((y[1:] + y[:-1]) / 2 * np.diff(x)).sum()
    assert gini(counts) == pytest.approx(1 - 2 * area, abs=1e-9)


def test_lorenz_curve_by_hand():
    x, y = lorenz_curve([3, 0, 1])
    np.testing.assert_allclose(x, [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(y, [0, 0, 1 / 4, 1])


@pytest.mark.parametrize('counts', [[], [1, -1]])
def test_gini_refuses_what_are_no_counts(counts):
    with pytest.raises(ValueError, match='at least one count'):
        gini(counts)


def sigmoid_head():
    assigner = HungarianAssigner(
        match_costs=[
            dict(type='FocalLossCost', weight=2.0),
            dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
            dict(type='IoUCost', iou_mode='giou', weight=2.0),
        ]
    )
    return SimpleNamespace(
        assigner=assigner, loss_cls=SimpleNamespace(use_sigmoid=True)
    )


# Four queries on a picture 100 wide and 50 high; (cx, cy, w, h) in [0, 1].
BOXES = torch.tensor(
    [
        [0.20, 0.40, 0.20, 0.40],  # exactly the first object
        [0.70, 0.60, 0.20, 0.40],  # exactly the second
        [0.50, 0.50, 0.10, 0.10],  # nothing there
        [0.20, 0.40, 0.04, 0.10],  # inside the first, too small
    ]
)
TRUTH = torch.tensor([[10.0, 10.0, 30.0, 30.0], [60.0, 20.0, 80.0, 40.0]])
LABELS = torch.tensor([1, 0])


def logits(**scores):
    """Class logits (4, 2) from scores; `q0=(s0, s1)` sets query 0's."""
    table = torch.full((4, 2), 0.05)
    for name, values in scores.items():
        table[int(name[1:])] = torch.tensor(values)
    return table.logit()


@pytest.mark.parametrize(
    ('scores', 'hits', 'confident'),
    [
        (dict(q0=(0.05, 0.9), q1=(0.8, 0.05)), [1, 1, 0, 0], [1, 1, 0, 0]),
        # Too shy, or of the wrong class: matched all the same.
        (dict(q0=(0.05, 0.2), q1=(0.8, 0.05)), [1, 1, 0, 0], [0, 1, 0, 0]),
        (dict(q0=(0.9, 0.4), q1=(0.8, 0.05)), [1, 1, 0, 0], [0, 1, 0, 0]),
        # Query 3 is surer, but its box is too far off to win or to be correct.
        (dict(q0=(0.05, 0.5), q3=(0.05, 0.6)), [1, 1, 0, 0], [1, 0, 0, 0]),
    ],
)
def test_hits_by_hand(scores, hits, confident):
    usage = QueryUsage(np.zeros(4, int), np.zeros(4, int))
    truth = InstanceData(bboxes=TRUTH, labels=LABELS)
    meta = dict(img_shape=(50, 100))
    for _ in range(2):
        add_image(usage, sigmoid_head(), logits(**scores), BOXES, truth, meta)
    assert usage.hits.tolist() == [2 * n for n in hits]
    assert usage.confident_hits.tolist() == [2 * n for n in confident]
    assert (usage.num_images, usage.num_objects) == (2, 4)


def test_a_loose_box_is_a_hit_but_not_correct():
    usage = QueryUsage(np.zeros(1, int), np.zeros(1, int))
    # 40 x 25 pixels around an object of 20 x 20: IoU 0.4.
    box = torch.tensor([[0.20, 0.40, 0.40, 0.50]])
    truth = InstanceData(bboxes=TRUTH[:1], labels=LABELS[:1])
    meta = dict(img_shape=(50, 100))
    add_image(usage, sigmoid_head(), logits(q0=(0.05, 0.9))[:1], box, truth, meta)
    assert (usage.hits.tolist(), usage.confident_hits.tolist()) == ([1], [0])
    usage.iou_threshold = 0.3
    add_image(usage, sigmoid_head(), logits(q0=(0.05, 0.9))[:1], box, truth, meta)
    assert (usage.hits.tolist(), usage.confident_hits.tolist()) == ([2], [1])


def test_picture_without_objects_counts_as_picture_only():
    usage = QueryUsage(np.zeros(4, int), np.zeros(4, int))
    truth = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    add_image(usage, sigmoid_head(), logits(), BOXES, truth, dict(img_shape=(50, 100)))
    assert (usage.num_images, usage.num_objects, usage.hits.sum()) == (1, 0, 0)


def test_softmax_heads_may_prefer_no_object():
    head = sigmoid_head()
    head.loss_cls.use_sigmoid = False
    head.assigner = HungarianAssigner(
        match_costs=[dict(type='BBoxL1Cost', weight=1.0, box_format='xywh')]
    )
    usage = QueryUsage(np.zeros(2, int), np.zeros(2, int))
    probabilities = torch.tensor([[0.1, 0.4, 0.5], [0.7, 0.1, 0.2]])
    truth = InstanceData(bboxes=TRUTH, labels=LABELS)
    meta = dict(img_shape=(50, 100))
    add_image(usage, head, probabilities.log(), BOXES[:2], truth, meta)
    assert usage.hits.tolist() == [1, 1]
    assert usage.confident_hits.tolist() == [0, 1]


class EchoDetector(nn.Module):
    """A 'DETR' whose last layer says what the test wants, not the others."""

    def __init__(self, scores):
        super().__init__()
        self.bbox_head = nn.Module()
        self.bbox_head.assigner = sigmoid_head().assigner
        self.bbox_head.loss_cls = SimpleNamespace(use_sigmoid=True)
        self.bbox_head.forward = self.head_forward
        self.scores = scores

    def data_preprocessor(self, batch, training):
        assert training is False
        return batch

    def extract_feat(self, inputs):
        return (inputs,)

    def forward_transformer(self, features, samples):
        return dict(hidden_states=features[0], references=None)

    def head_forward(self, hidden_states, references):
        size = len(hidden_states)
        last = logits(**self.scores).expand(size, 4, 2)
        boxes = BOXES.expand(size, 4, 4)
        return torch.stack([0 * last, last]), torch.stack([0.5 + 0 * boxes, boxes])


def loader(transforms, boxes):
    sample = DetDataSample(metainfo=dict(img_shape=(50, 100), scale_factor=(0.5, 0.25)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=LABELS)
    batch = dict(inputs=torch.zeros(2, 3), data_samples=[sample, sample.clone()])
    steps = [type(name, (), {})() for name in transforms]
    dataset = SimpleNamespace(pipeline=SimpleNamespace(transforms=steps))

    class Loader(list):
        pass

    batches = Loader([batch])
    batches.dataset = dataset
    return batches


@pytest.mark.parametrize(
    ('transforms', 'boxes'),
    [
        # mmdet's test pipelines: boxes stay in the file's scale ...
        (['Resize', 'LoadAnnotations'], TRUTH / torch.tensor([0.5, 0.25, 0.5, 0.25])),
        # ... its training pipelines resize them.
        (['LoadAnnotations', 'Resize'], TRUTH),
    ],
)
def test_boxes_are_brought_to_the_networks_scale(transforms, boxes):
    detector = EchoDetector(dict(q0=(0.05, 0.9), q1=(0.8, 0.05)))
    usage = count_query_hits(detector, loader(transforms, boxes))
    assert usage.hits.tolist() == [2, 2, 0, 0]
    assert usage.confident_hits.tolist() == [2, 2, 0, 0]


def test_pipeline_without_ground_truth_is_refused():
    with pytest.raises(ConfigError, match='LoadAnnotations'):
        count_query_hits(EchoDetector({}), loader(['Resize'], TRUTH))


def test_other_detectors_are_refused():
    with pytest.raises(ConfigError, match='DETR'):
        count_query_hits(nn.Linear(1, 1), loader(['LoadAnnotations'], TRUTH))


def test_written_table_is_complete(tmp_path):
    usage = QueryUsage(np.array([3, 0, 1]), np.array([0, 0, 0]), 2, 4)
    table, picture = write_query_usage(usage, tmp_path / 'new')
    content = json.loads(table.read_text())
    assert content['hits'] == [3, 0, 1]
    assert content['gini'] == pytest.approx(0.5)
    assert content['gini_confident'] is None
    assert content['unused_queries'] == 1
    assert picture.stat().st_size > 10_000
