import json
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.task_modules import HungarianAssigner
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn
from torch.utils.data import DataLoader

from mmdet_qrpaq.analysis.command_line import main
from mmdet_qrpaq.analysis.matching import match
from mmdet_qrpaq.analysis.one_pass import one_pass
from mmdet_qrpaq.analysis.queries.section import USAGE
from mmdet_qrpaq.analysis.queries.usage import (
    SCHEMA,
    UsageObserver,
    conclude,
    describe,
    draw,
    gini,
    lorenz_curve,
    observe,
    tables,
)
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.tables import print_table
from tiny_runs import CLASSES, CONFIG, save_untrained, write_dataset

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


# Four queries on an image 100 wide and 50 high; (cx, cy, w, h) in [0, 1].
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


def image(boxes, labels, **meta):
    sample = DetDataSample(metainfo=dict(img_shape=(50, 100), **meta))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
    return sample


def hits(logits, boxes, samples, head=None, score_threshold=0.3, iou_threshold=0.5):
    """Hits of (nq, ...) predictions that are the same in every image."""
    logits = logits.expand(len(samples), *logits.shape)
    boxes = boxes.expand(len(samples), *boxes.shape)
    batch = match(head or sigmoid_head(), logits, boxes, samples, resized=True)
    observer = UsageObserver(score_threshold, iou_threshold)
    observer.see(SimpleNamespace(matched=batch))
    numbers = observer.numbers()
    return [numbers['hits'], numbers['confident_hits']]


@pytest.mark.parametrize(
    ('scores', 'matched', 'confident'),
    [
        (dict(q0=(0.05, 0.9), q1=(0.8, 0.05)), [1, 1, 0, 0], [1, 1, 0, 0]),
        # Too shy, or of the wrong class: matched all the same.
        (dict(q0=(0.05, 0.2), q1=(0.8, 0.05)), [1, 1, 0, 0], [0, 1, 0, 0]),
        (dict(q0=(0.9, 0.4), q1=(0.8, 0.05)), [1, 1, 0, 0], [0, 1, 0, 0]),
        # Query 3 is surer, but its box is too far off to win or to be correct.
        (dict(q0=(0.05, 0.5), q3=(0.05, 0.6)), [1, 1, 0, 0], [1, 0, 0, 0]),
    ],
)
def test_hits_by_hand(scores, matched, confident):
    samples = [image(TRUTH, LABELS)] * 2
    found = hits(logits(**scores), BOXES, samples)
    assert found == [[2 * n for n in matched], [2 * n for n in confident]]


@pytest.mark.parametrize(('iou_threshold', 'correct'), [(0.5, 0), (0.3, 1)])
def test_a_loose_box_is_a_hit_but_not_correct(iou_threshold, correct):
    # 40 x 25 pixels around an object of 20 x 20: IoU 0.4.
    box = torch.tensor([[0.20, 0.40, 0.40, 0.50]])
    samples = [image(TRUTH[:1], LABELS[:1])]
    scores = logits(q0=(0.05, 0.9))[:1]
    found = hits(scores, box, samples, iou_threshold=iou_threshold)
    assert found == [[1], [correct]]


def test_images_with_many_and_with_no_objects_share_a_batch():
    """Padding is never matched, wherever the image stands in the batch."""
    none = image(torch.zeros(0, 4), torch.zeros(0).long())
    one = image(TRUTH[1:], LABELS[1:])
    scores = logits(q0=(0.05, 0.9), q1=(0.8, 0.05))
    for samples in ([none, one], [one, none], [none]):
        number = int(one in samples)
        assert hits(scores, BOXES, samples) == [[0, number, 0, 0]] * 2


def test_each_image_has_its_own_size_and_scale():
    """A box in [0, 1] is twice as wide in an image twice as wide."""
    wide = DetDataSample(metainfo=dict(img_shape=(50, 200), scale_factor=(4.0, 1.0)))
    wide.gt_instances = InstanceData(
        bboxes=TRUTH * torch.tensor([0.5, 1, 0.5, 1]), labels=LABELS
    )
    small = image(TRUTH, LABELS, scale_factor=(1.0, 1.0))
    batch = match(
        sigmoid_head(),
        logits().expand(2, 4, 2),
        BOXES.expand(2, 4, 4),
        [small, wide],
        resized=False,
    )
    assert batch.matched.tolist() == [[True, True, False, False]] * 2
    torch.testing.assert_close(batch.boxes[1, :2], TRUTH * torch.tensor([2.0, 1, 2, 1]))
    torch.testing.assert_close(batch.truth[:, :2], batch.boxes[:, :2])
    torch.testing.assert_close(batch.truth_in_file[0, :2], TRUTH)
    in_file = TRUTH * torch.tensor([0.5, 1, 0.5, 1])
    torch.testing.assert_close(batch.truth_in_file[1, :2], in_file)
    assert batch.num_objects == 4


def test_softmax_heads_may_prefer_no_object():
    head = sigmoid_head()
    head.loss_cls.use_sigmoid = False
    head.assigner = HungarianAssigner(
        match_costs=[dict(type='BBoxL1Cost', weight=1.0, box_format='xywh')]
    )
    probabilities = torch.tensor([[0.1, 0.4, 0.5], [0.7, 0.1, 0.2]])
    found = hits(probabilities.log(), BOXES[:2], [image(TRUTH, LABELS)], head)
    assert found == [[1, 1], [0, 1]]


class EchoDetector(nn.Module):
    """A 'DETR' whose last layer says what the test wants, not the others."""

    def __init__(self, scores):
        super().__init__()
        self.backbone = nn.Identity()
        self.bbox_head = nn.Module()
        self.bbox_head.assigner = sigmoid_head().assigner
        self.bbox_head.loss_cls = SimpleNamespace(use_sigmoid=True)
        self.bbox_head.forward = self.head_forward
        self.scores = scores

    def data_preprocessor(self, batch, training):
        assert training is False
        return batch

    def forward(self, inputs, data_samples, mode):
        assert mode == 'predict'
        self.bbox_head(**self.forward_transformer(self.backbone(inputs)))
        return data_samples

    def forward_transformer(self, features):
        return dict(hidden_states=features, references=None)

    def head_forward(self, hidden_states, references):
        size = len(hidden_states)
        last = logits(**self.scores).expand(size, 4, 2)
        boxes = BOXES.expand(size, 4, 4)
        return torch.stack([0 * last, last]), torch.stack([0.5 + 0 * boxes, boxes])


def echo_model(scores, transforms, boxes, num_batches=1):
    """Batches of two images; the steps of the pipeline have these names."""
    sample = image(boxes, LABELS, scale_factor=(0.5, 0.25))
    steps = [type(name, (), {})() for name in transforms]

    class Images(list):
        pipeline = SimpleNamespace(transforms=steps)

    def collate(samples):
        return dict(inputs=torch.zeros(len(samples), 3), data_samples=samples)

    dataset = Images(sample.clone() for _ in range(2 * num_batches))
    loader = DataLoader(dataset, batch_size=2, collate_fn=collate)
    return SimpleNamespace(name='m', detector=EchoDetector(scores), dataloader=loader)


def count(model):
    (observer,) = observe([model], score_threshold=0.3, iou_threshold=0.5)
    one_pass(model, [observer])
    return observer.numbers()


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
    scores = dict(q0=(0.05, 0.9), q1=(0.8, 0.05))
    usage = count(echo_model(scores, transforms, boxes))
    assert usage['hits'] == [2, 2, 0, 0]
    assert usage['confident_hits'] == [2, 2, 0, 0]


def test_pipeline_without_ground_truth_is_refused():
    with pytest.raises(ConfigError, match='LoadAnnotations'):
        count(echo_model({}, ['Resize'], TRUTH))


def test_other_detectors_are_refused():
    with pytest.raises(ConfigError, match='DETR'):
        count(SimpleNamespace(detector=nn.Linear(1, 1)))


def test_empty_data_set_is_refused():
    with pytest.raises(ConfigError, match='no images'):
        count(echo_model({}, ['LoadAnnotations'], TRUTH, num_batches=0))


def numbers_of(**usages):
    rows = [dict(name=name, **usage) for name, usage in usages.items()]
    return dict(score_threshold=0.3, iou_threshold=0.5, models=rows)


def test_result_is_what_the_schema_promises():
    usage = describe(np.array([3, 0, 1]), np.array([0, 0, 0]), 2, 4)
    numbers = numbers_of(host=usage)
    jsonschema.validate(numbers, SCHEMA)
    (row,) = numbers['models']
    assert row['hits'] == [3, 0, 1]
    assert row['gini'] == pytest.approx(0.5)
    assert row['gini_confident'] is None
    assert row['unused_queries'] == 1
    (table,) = tables(numbers)
    assert table.rows == [['host', '0.500', '–', '1 of 3']]


def test_images_without_any_object_show_nothing():
    none = SimpleNamespace(
        matched=torch.zeros(1, 4, dtype=torch.bool),
        boxes=BOXES[None],
        num_objects=0,
        scores=torch.full((1, 4, 2), 0.9),
        labels=torch.zeros(1, 4).long(),
        truth=torch.zeros(1, 4, 4),
    )
    observer = UsageObserver(0.3, 0.5)
    observer.see(SimpleNamespace(matched=none))
    with pytest.raises(ConfigError, match='there is no object in these images'):
        conclude([SimpleNamespace(name='host')], [observer])


def lines(axes):
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def test_figure_of_one_model_shows_both_kinds_of_hits():
    usage = describe(np.array([3, 0, 1]), np.array([0, 0, 1]), 2, 4)
    bars, lorenz = draw(numbers_of(host=usage)).axes
    assert bars.patches[0].get_data().values.tolist() == [3, 1, 0]
    drawn = lines(lorenz)
    assert list(drawn)[:2] == ['matched: Gini 0.50', 'confident and correct: Gini 0.67']
    np.testing.assert_allclose(drawn['matched: Gini 0.50'], [0, 0, 1 / 4, 1])


def test_figure_of_several_models_compares_their_confident_hits():
    usages = dict(
        host=describe(np.array([9, 9, 9]), np.array([3, 0, 1]), 2, 8),
        ours=describe(np.array([9, 9]), np.array([2, 2]), 2, 8),
    )
    bars, lorenz = draw(numbers_of(**usages)).axes
    shares = [patch.get_data().values.tolist() for patch in bars.patches]
    assert shares == [[37.5, 12.5, 0], [25, 25]]
    drawn = lines(lorenz)
    np.testing.assert_allclose(drawn['host: Gini 0.50'], [0, 0, 1 / 4, 1])
    np.testing.assert_allclose(drawn['ours: Gini 0.00'], [0, 1 / 2, 1])


def test_the_script_prints_the_tables_of_what_it_wrote(tmp_path, capsys):
    root, config = write_dataset(tmp_path / 'data'), tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    save_untrained(config, tmp_path / 'tiny.pth')
    main(USAGE, 'x', [str(config), str(tmp_path / 'tiny.pth')])
    printed = capsys.readouterr().out
    for table in tables(
        json.loads((tmp_path / 'query_usage.json').read_text())['numbers']
    ):
        print_table(table)
    assert capsys.readouterr().out in printed
    assert (tmp_path / 'query_usage.png').stat().st_size > 10_000
