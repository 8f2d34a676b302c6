"""Losses and gradients of all layers at once against mmdet's own, layer by layer."""

import copy

import pytest
import torch
from mmdet.models.dense_heads import detr_head, dino_head
from mmdet.models.losses import FocalLoss
from mmdet.models.task_modules.assigners import HungarianAssigner
from mmdet.registry import MODELS

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.matching import BatchedLossesHead, head_mixin, losses
from tiny_hosts import (
    NUM_CLASSES,
    VARIFOCAL,
    build,
    build_host,
    host_config,
    make_batch,
    run_loss,
    total_loss,
)

CLASS_LOSSES = dict(
    focal=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
    other_focal=dict(type='FocalLoss', gamma=1.5, alpha=0.6, loss_weight=2.0),
    varifocal=VARIFOCAL,
    quality_focal=dict(type='QualityFocalLoss', use_sigmoid=True, beta=1.5),
)
TWO_SIZES = [(64, 96), (48, 64)]


def build_pair(host: str, **options) -> tuple:
    """A detector whose losses are made in one go, and one with mmdet's own."""
    ours = build(host_config(host, **options))
    theirs = copy.deepcopy(ours)
    theirs.bbox_head.batched_losses = False
    return ours, theirs


def check_same(ours, theirs, batch, tolerance=1e-6) -> None:
    """Compare losses, to 1e-6, and gradients, to ten times that."""
    mine, expected = run_loss(ours, batch), run_loss(theirs, batch)
    assert list(mine) == list(expected)
    for key, value in expected.items():
        # mmdet's averages over devices have a dimension.
        torch.testing.assert_close(
            mine[key], value.squeeze(), rtol=tolerance, atol=tolerance
        )
    total_loss(mine).backward()
    total_loss(expected).backward()
    reference = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        other = reference[name].grad
        assert (parameter.grad is None) == (other is None), name
        if other is not None:
            error = (parameter.grad - other).norm()
            # Some are nothing but rounding errors, such as those of a key's bias.
            assert error <= 10 * tolerance * other.norm() + 1e-7, name


@pytest.mark.parametrize('class_loss', CLASS_LOSSES)
@pytest.mark.parametrize('objects', [[2, 3], [0, 3], [0, 0], [30, 1]], ids=str)
def test_losses_and_gradients_are_those_of_mmdet(host, class_loss, objects):
    pair = build_pair(host, loss_cls=CLASS_LOSSES[class_loss])
    check_same(*pair, make_batch(objects, TWO_SIZES))


@pytest.mark.parametrize('host', ['conditional', 'dab', 'deformable'])
def test_softmax_with_class_weights(host):
    """The classes have one more then; two-stage hosts rank proposals by sigmoids."""
    loss = dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 0.5, 0.1])
    config = host_config(host, loss_cls=loss)
    costs = config.train_cfg.assigner.match_costs
    costs[0] = dict(type='ClassificationCost', weight=2.0)
    ours = build(config)
    theirs = copy.deepcopy(ours)
    theirs.bbox_head.batched_losses = False
    check_same(ours, theirs, make_batch([2, 3], TWO_SIZES))


@pytest.mark.parametrize(
    'box_losses',
    [
        dict(
            loss_bbox=dict(type='SmoothL1Loss', beta=0.1),
            loss_iou=dict(type='CIoULoss'),
        ),
        dict(loss_iou=dict(type='IoULoss')),
        dict(loss_iou=dict(type='DIoULoss')),
    ],
    ids=str,
)
def test_other_losses_of_boxes(box_losses):
    check_same(*build_pair('dino', **box_losses), make_batch([2, 3], TWO_SIZES))


@pytest.mark.parametrize('class_loss', ['focal', 'varifocal'])
def test_half_precision_is_rounded_less_than_by_mmdet(host, class_loss):
    """The same matches; what mmdet rounds to 8 bits here and there stays exact."""
    ours, theirs = build_pair(host, loss_cls=CLASS_LOSSES[class_loss])
    batch = make_batch([2, 3], TWO_SIZES)
    with torch.autocast('cpu', torch.bfloat16):
        mine, expected = run_loss(ours, batch), run_loss(theirs, batch)
    for key, value in expected.items():
        assert mine[key].dtype == torch.float32
        value = value.squeeze().float()
        torch.testing.assert_close(mine[key], value, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize('host', ['dino', 'conditional'])
@pytest.mark.parametrize('synchronised', [False, True])
def test_devices_are_averaged_where_mmdet_averages_them(
    host, synchronised, monkeypatch
):
    """As if the others had other numbers of objects."""
    for module in (detr_head, dino_head, losses):
        monkeypatch.setattr(module, 'reduce_mean', lambda count: 0.7 * count + 3)
    pair = build_pair(host, sync_cls_avg_factor=synchronised)
    check_same(*pair, make_batch([2, 3], TWO_SIZES))


class LazyAssigner(HungarianAssigner):
    """Gives every object to the first query."""

    def assign(self, *args, **kwargs):
        result = super().assign(*args, **kwargs)
        result.gt_inds.zero_()[0] = result.num_gts
        return result


def test_another_assigner_is_asked_image_by_image(host):
    pair = build_pair(host)
    for detector in pair:
        costs = [dict(type='FocalLossCost')]
        detector.bbox_head.assigner = LazyAssigner(costs)
    check_same(*pair, make_batch([2, 3], TWO_SIZES))


@MODELS.register_module()
class LossOfTheBatch(FocalLoss):
    """Not the mean of its elements."""

    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs) ** 2


def test_a_loss_that_is_not_known_is_left_to_mmdet():
    ours, theirs = build_pair('dino', loss_cls=dict(type='LossOfTheBatch'))
    assert not ours.bbox_head.batches_losses
    batch = make_batch([2, 3], TWO_SIZES)
    mine, expected = run_loss(ours, batch), run_loss(theirs, batch)
    assert all(torch.equal(mine[key], expected[key]) for key in expected)


def test_leaving_queries_out_is_for_the_decoder_alone():
    """Neither the encoder's proposals nor denoising queries."""
    detector = build(host_config('dino', loss_cls=VARIFOCAL))
    batch = make_batch([2, 3], TWO_SIZES)
    expected = run_loss(detector, batch)
    keep = torch.ones(3, 2, 12, dtype=torch.bool)
    keep[1, :, ::2] = False
    detector.bbox_head.supervised_queries = keep
    losses = run_loss(detector, batch)
    for key, value in expected.items():
        if not key.startswith('d1.loss'):
            assert torch.equal(losses[key], value), key
    assert losses['d1.loss_cls'] != expected['d1.loss_cls']


@pytest.mark.parametrize('most', [1, 200])
def test_costs_in_parts_are_the_same_costs(most, monkeypatch):
    detector, batch = build_host('dino'), make_batch([2, 3], TWO_SIZES)
    expected = run_loss(detector, batch)
    monkeypatch.setattr(head_mixin, 'MOST', most)
    losses = run_loss(detector, batch)
    assert all(torch.equal(losses[key], value) for key, value in expected.items())


def test_mmdets_own_losses_cannot_leave_queries_out():
    detector = build(host_config('conditional', batched_losses=False))
    detector.bbox_head.supervised_queries = torch.ones(3, 2, 12, dtype=torch.bool)
    with pytest.raises(ConfigError, match='batched_losses=True'):
        run_loss(detector, make_batch([2, 3]))


@pytest.mark.parametrize('class_loss', CLASS_LOSSES)
def test_queries_that_are_no_prediction_learn_nothing(class_loss):
    """The losses of a layer are those of its other queries alone."""
    detector = build(host_config('dino', loss_cls=CLASS_LOSSES[class_loss]))
    head = detector.bbox_head
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 12, NUM_CLASSES, generator=draw, requires_grad=True)
    boxes = torch.rand(3, 2, 12, 4, generator=draw).mul(0.3).add(0.2).requires_grad_()
    samples = make_batch([3, 1])['data_samples']
    objects = (
        [sample.gt_instances for sample in samples],
        [sample.metainfo for sample in samples],
    )
    keep = torch.zeros(3, 12, dtype=torch.bool)
    for row, count in zip(keep, (12, 5, 2), strict=True):
        row[torch.randperm(12, generator=draw)[:count]] = True
    head.supervised_queries = keep[:, None].expand(-1, 2, -1)
    found = BatchedLossesHead.loss_by_feat(head, logits, boxes, *objects)
    head.supervised_queries = None
    for layer, key in enumerate(('d0.', 'd1.', '')):
        rows = keep[layer]
        expected = BatchedLossesHead.loss_by_feat(
            head, logits[layer : layer + 1, :, rows], boxes[layer : layer + 1, :, rows],
            *objects,
        )  # fmt: skip
        for name, value in expected.items():
            torch.testing.assert_close(found[key + name], value)
    total_loss(found).backward()
    for grad in (logits.grad, boxes.grad):
        assert (grad.abs().sum((1, 3)) > 0)[~keep].sum() == 0
