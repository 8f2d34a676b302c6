"""L_1:m beside the Hungarian losses (PaQ-DETR Eq. 3 and 9)."""

import copy

import pytest
import torch
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.quality import QualityAwareDETRHead
from tiny_hosts import (
    HOSTS,
    NUM_CLASSES,
    QUALITY,
    VARIFOCAL,
    build,
    host_config,
    make_batch,
    run_loss,
)

NUM_LAYERS, NUM_QUERIES = 3, 20


def make_head(host: str, **options):
    config = host_config(host, **options)
    head = config.bbox_head
    head.update(train_cfg=config.train_cfg, test_cfg=config.test_cfg)
    # What detectors tell heads that have a branch for each layer.
    if issubclass(MODELS.get(head.type), DeformableDETRHead):
        head.update(num_pred_layer=NUM_LAYERS + 1, as_two_stage=True)
    torch.manual_seed(0)
    return MODELS.build(head)


def predictions(batch: dict, seed: int = 0):
    """Layers of logits and boxes, half of them near the objects."""
    rng = torch.Generator().manual_seed(seed)
    bs = len(batch['data_samples'])
    logits = torch.randn(NUM_LAYERS, bs, NUM_QUERIES, NUM_CLASSES, generator=rng)
    boxes = torch.rand(NUM_LAYERS, bs, NUM_QUERIES, 4, generator=rng) * 0.5 + 0.1
    for i, sample in enumerate(batch['data_samples']):
        h, w = sample.img_shape
        objects = sample.gt_instances.bboxes / torch.tensor([w, h, w, h])
        for j, (x1, y1, x2, y2) in enumerate(objects.tolist()):
            box = torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
            jitter = 1 + 0.2 * torch.randn(NUM_LAYERS, 4, 4, generator=rng)
            near = boxes[:, i, 2 * j : 2 * j + 4]
            near.copy_((box * jitter[:, : near.shape[1]]).clamp(0.01, 1))
    return logits.requires_grad_(), boxes.requires_grad_()


def unpack(batch: dict):
    samples = batch['data_samples']
    return [s.gt_instances for s in samples], [s.metainfo for s in samples]


def detr_losses(head, batch: dict, seed: int = 0) -> dict:
    """The losses of the matching queries, as the mixin sees them."""
    logits, boxes = predictions(batch, seed)
    return QualityAwareDETRHead.loss_by_feat(head, logits, boxes, *unpack(batch))


class OneImageAssigner:
    """Puts the one-image interface in the place of the Hungarian assigner."""

    def __init__(self, assigner):
        self.assigner = assigner

    def assign(self, pred_instances: InstanceData, **kwargs):
        return self.assigner.assign(pred_instances, **kwargs)


@pytest.mark.parametrize('host', HOSTS)
@pytest.mark.parametrize('num_objects', [[3, 1], [0, 4], [0, 0], [30, 2]])
def test_equals_the_host_losses_under_one_image_assignment(host, num_objects):
    head = make_head(host, quality=QUALITY, loss_cls=VARIFOCAL)
    batch = make_batch(num_objects, [(64, 96), (48, 80)])
    losses = detr_losses(head, batch)

    reference = copy.deepcopy(head)
    reference.batched_losses = False  # mmdet's own
    reference.assigner = OneImageAssigner(head.quality_assigner)
    logits, boxes = predictions(batch)
    for layer in range(NUM_LAYERS - 1):
        expected = reference.loss_by_feat_single(
            logits[layer], boxes[layer], *unpack(batch)
        )
        for name, value in zip(('cls', 'bbox', 'iou'), expected, strict=True):
            value = value.squeeze()  # mmdet's averages over devices have a dimension
            torch.testing.assert_close(losses[f'd{layer}.loss_{name}_o2m'], value)
    assert f'd{NUM_LAYERS - 1}.loss_cls_o2m' not in losses


@pytest.mark.parametrize('host', HOSTS)
def test_the_hungarian_losses_stay(host):
    batch = make_batch([3, 1])
    with_quality = detr_losses(
        make_head(host, quality=QUALITY, loss_cls=VARIFOCAL), batch
    )
    without = detr_losses(make_head(host, loss_cls=VARIFOCAL), batch)
    assert not [key for key in without if 'o2m' in key]
    for key, value in without.items():
        assert torch.equal(with_quality[key], value), key


@pytest.mark.parametrize(
    'layers, expected',
    [('intermediate', {0, 1}), ('all', {0, 1, 2}), ([1], {1}), ([2, 0, 0], {0, 2})],
)
def test_the_layers_switch(layers, expected):
    head = make_head('dino', quality=dict(QUALITY, layers=layers))
    losses = detr_losses(head, make_batch([2]))
    assert {key for key in losses if key.endswith('loss_cls_o2m')} == {
        f'd{layer}.loss_cls_o2m' for layer in expected
    }


@pytest.mark.parametrize('host', HOSTS)
def test_one_to_many_may_replace_one_to_one_where_it_is(host):
    batch = make_batch([3, 1], [(64, 96), (48, 80)])
    joined = detr_losses(make_head(host, quality=QUALITY), batch)
    replaced = detr_losses(
        make_head(host, quality=dict(QUALITY, hungarian='replaces')), batch
    )
    gone = {f'd{i}.loss_{name}' for i in (0, 1) for name in ('cls', 'bbox', 'iou')}
    assert joined.keys() - replaced.keys() == gone
    assert {'loss_cls', 'loss_bbox', 'loss_iou'} <= replaced.keys()
    for name, loss in replaced.items():
        assert torch.equal(loss, joined[name]), name


def test_the_normaliser_divides_by_positives_or_by_objects():
    batch = make_batch([3, 2])
    by_pos = make_head('dino', quality=dict(QUALITY, normalizer='num_pos'))
    by_gt = make_head('dino', quality=dict(QUALITY, normalizer='num_gt'))
    logits, boxes = predictions(batch)
    targets, _ = by_pos.get_one_to_many_targets(logits, boxes, *unpack(batch))
    layer = targets.query // logits[0, ..., 0].numel()
    num_pos = layer.bincount(minlength=NUM_LAYERS).tolist()
    assert max(num_pos) > 5  # several positives an object, or the test shows nothing
    losses, other = detr_losses(by_pos, batch), detr_losses(by_gt, batch)
    for layer in range(NUM_LAYERS - 1):
        for name in ('cls', 'bbox', 'iou'):
            key = f'd{layer}.loss_{name}_o2m'
            torch.testing.assert_close(other[key], losses[key] * num_pos[layer] / 5)


def test_targets_by_hand():
    head = make_head('dino', quality=QUALITY)
    batch = make_batch([1, 0], [(50, 100), (50, 100)])
    gt = batch['data_samples'][0].gt_instances
    gt.bboxes, gt.labels = torch.tensor([[20.0, 10.0, 60.0, 40.0]]), torch.tensor([2])
    # (cx, cy, w, h) = (0.4, 0.5, 0.4, 0.6); the second box is half of it.
    boxes = torch.tensor(
        [[0.4, 0.5, 0.4, 0.6], [0.3, 0.5, 0.2, 0.6], [0.9, 0.9, 0.1, 0.1]]
    )
    logits = torch.full((1, 2, 3, NUM_CLASSES), -20.0)
    targets, num_pos = head.get_one_to_many_targets(
        logits, boxes.expand(1, 2, 3, 4), *unpack(batch)
    )
    # s = (1, 0.5, 0): k = ceil(1.5) = 2 positives; the second image has none.
    assert targets.query.tolist() == [0, 1] and targets.labels.tolist() == [2, 2]
    expected = torch.tensor([[0.4, 0.5, 0.4, 0.6]] * 2)
    torch.testing.assert_close(targets.boxes, expected)
    assert targets.weights is None and num_pos is None
    xyxy = bbox_cxcywh_to_xyxy(targets.boxes[:1]) * targets.scale[:1]
    torch.testing.assert_close(xyxy, gt.bboxes)


def test_one_to_many_may_have_a_class_loss_of_its_own():
    """Each loss is that of a head which has its class loss everywhere."""
    batch = make_batch([3, 1], [(64, 96), (48, 80)])
    focal = detr_losses(make_head('dino', quality=QUALITY), batch)
    varifocal = detr_losses(
        make_head('dino', quality=QUALITY, loss_cls=VARIFOCAL), batch
    )
    mixed = detr_losses(
        make_head('dino', quality=dict(QUALITY, loss_cls=VARIFOCAL)), batch
    )
    assert mixed.keys() == focal.keys()
    for name, loss in mixed.items():
        expected = varifocal if name.endswith('_o2m') else focal
        assert loss == expected[name], name
    assert focal['d0.loss_cls_o2m'] != varifocal['d0.loss_cls_o2m']


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(layers='last'), "layers is 'last'"),
        (dict(layers=3), 'layers is 3'),
        (dict(layers=['0']), "layers is '0'"),
        (dict(layers=[]), r'layers is \[\]'),
        (dict(layers=[3]), 'layers is 3: set it to a whole number from 0 to 2'),
        (
            dict(
                assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5)
            ),
            'one object to one query',
        ),
        (dict(normalizer='mean'), "normalizer is 'mean'"),
        (dict(hungarian='replaced'), "hungarian is 'replaced': use 'joins' or"),
        (dict(hungarian='replaces', layers='all'), 'without one-to-one losses'),
        (dict(hungarian='replaces', layers=[0, 2]), 'without one-to-one losses'),
        (dict(topk=4), "no setting 'topk'"),
        (dict(loss_cls=dict(type='CrossEntropyLoss')), 'use_sigmoid=False'),
        (dict(loss_cls=dict(type='GHMC')), 'GHMC is not known to allow it'),
        (dict(assigner=dict(type='QualityAwareAssigner', candidate_topk=0)), 'is 0'),
    ],
)
def test_bad_settings_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        make_head('dino', quality=dict(QUALITY, **change))


def test_a_layer_that_the_decoder_lacks_is_named():
    """Heads of one-stage hosts learn only from the first batch how many there are."""
    quality = dict(QUALITY, layers=[NUM_LAYERS])
    detector = build(host_config('conditional', quality=quality))
    with pytest.raises(ConfigError, match=f'the decoder has {NUM_LAYERS} layers'):
        run_loss(detector, make_batch([2]))
