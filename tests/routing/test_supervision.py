"""Who is a prediction of a layer: `supervise='entering'` (QR-DETR Sec. 1 and 4.2b)."""

import copy
from unittest import mock

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.matching import BatchedLossesHead
from tiny_hosts import (
    EXIT_HEADS,
    MASKS,
    NUM_QUERIES,
    QUALITY,
    ROUTING,
    VARIFOCAL,
    ForcedPolicy,
    build,
    host_config,
    make_batch,
    run_loss,
    total_loss,
)

NUM_LAYERS = 3
ENTERING = ROUTING | dict(supervise='entering')
# Of 12 queries 5, 0 and all enter: fewer than objects, and none at all.
SHARES = (0.4, 0.0, 1.0)
OBJECTS = [7, 2, 3]


def routed(host: str, *shares: float, **options) -> torch.nn.Module:
    settings = ENTERING | options.pop('routing', {})
    settings = settings | dict(policy=ForcedPolicy(*shares))
    return build(host_config(host, query_routing=settings, **options))


def predictions_of(detector, batch: dict) -> tuple:
    """What the host's head says of its matching queries, and who entered."""
    seen = []
    below = BatchedLossesHead.loss_by_feat

    def note(head, cls_scores, bbox_preds, *others):
        seen.append((cls_scores.detach(), bbox_preds.detach(), *others))
        return below(head, cls_scores, bbox_preds, *others)

    with mock.patch.object(BatchedLossesHead, 'loss_by_feat', note):
        losses = run_loss(detector, batch)
    entered = torch.stack(
        [layer.entered[:, layer.num_denoising :] for layer in detector.routed_layers]
    )
    return losses, seen[0], entered


def corners(box: torch.Tensor) -> torch.Tensor:
    """(cx, cy, w, h) -> (x1, y1, x2, y2)."""
    centre, size = box.split(2, -1)
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def naive_layer(head, cls_scores, bbox_preds, objects, metas, entered) -> dict:
    """The Hungarian losses of a layer, the rows of who bypassed really taken away."""
    scores, labels, pairs = [], [], []
    background = head.num_classes
    for i, keep in enumerate(entered):
        rows = [row for row, yes in enumerate(keep.tolist()) if yes]
        logits, boxes = cls_scores[i, rows], bbox_preds[i, rows]
        height, width = metas[i]['img_shape']
        scale = boxes.new_tensor([width, height, width, height])
        predicted = InstanceData(scores=logits, bboxes=corners(boxes) * scale)
        found = head.assigner.assign(predicted, objects[i], metas[i]).gt_inds.tolist()
        for row, number in enumerate(found):
            matched = number > 0
            scores.append(logits[row])
            label = objects[i].labels[number - 1] if matched else background
            labels.append(label)
            if matched:
                x1, y1, x2, y2 = objects[i].bboxes[number - 1] / scale
                target = torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1))
                pairs.append((boxes[row], target, scale))
    nothing = dict.fromkeys(('loss_cls', 'loss_bbox', 'loss_iou'), torch.zeros(()))
    if not scores:
        return nothing
    share = dict(avg_factor=max(len(pairs), 1))
    cls = head.loss_cls(torch.stack(scores), torch.tensor(labels), **share)
    if not pairs:
        return nothing | dict(loss_cls=cls)
    box, target, scale = map(torch.stack, zip(*pairs, strict=True))
    return dict(
        loss_cls=cls,
        loss_bbox=head.loss_bbox(box, target, **share),
        loss_iou=head.loss_iou(corners(box) * scale, corners(target) * scale, **share),
    )


@pytest.mark.parametrize('regroup', ['scatter', 'concat'])
def test_losses_are_those_without_the_rows_of_who_bypassed(host, regroup):
    detector = routed(host, *SHARES, routing=dict(regroup=regroup))
    batch = make_batch(OBJECTS)
    losses, (cls_scores, bbox_preds, objects, metas, *_), entered = predictions_of(
        detector, batch
    )
    number = [0 < n < NUM_QUERIES for n in entered[0].sum(1).tolist()]
    assert number == [True, False, False] and entered[0, 0].sum() < OBJECTS[0]
    for layer in range(NUM_LAYERS):
        last = layer == NUM_LAYERS - 1
        predicts = torch.ones_like(entered[layer]) if last else entered[layer]
        expected = naive_layer(
            detector.bbox_head,
            cls_scores[layer],
            bbox_preds[layer],
            objects,
            metas,
            predicts,
        )
        prefix = '' if last else f'd{layer}.'
        for name, value in expected.items():
            found = losses[f'{prefix}{name}'].detach().squeeze()
            torch.testing.assert_close(found, value.squeeze())


def test_who_bypasses_has_no_gradient_from_that_layer_and_who_enters_has():
    detector = routed('conditional', 0.4, 0.0)
    given = []
    keep = lambda _, __, outputs: given.append(outputs)  # noqa: E731
    detector.bbox_head.register_forward_hook(keep)
    losses, _, entered = predictions_of(detector, make_batch([3, 2]))
    for layer in range(NUM_LAYERS - 1):
        loss = losses[f'd{layer}.loss_cls']
        (grad,) = torch.autograd.grad(loss, given[0][0], retain_graph=True)
        supervised = grad[layer].abs().sum(-1) > 0
        assert torch.equal(supervised, entered[layer])
    (grad,) = torch.autograd.grad(losses['loss_cls'], given[0][0])
    assert (grad[-1].abs().sum(-1) > 0).all(), 'in the last layer all are predictions'


def test_denoising_and_encoder_losses_are_as_they_were():
    detector = routed('dino', 0.4, 0.0)
    batch = make_batch([3, 2])
    plain = routed('dino', 0.4, 0.0, routing=dict(supervise='all'))
    losses, expected = run_loss(detector, batch), run_loss(plain, batch)
    assert list(losses) == list(expected)
    others = [name for name in losses if 'dn_' in name or 'enc_' in name]
    assert others
    last = ['loss_cls', 'loss_bbox', 'loss_iou']
    for name in (*others, *last):
        torch.testing.assert_close(losses[name], expected[name], rtol=1e-6, atol=0)
    for name in losses.keys() - {*others, *last}:
        assert not torch.isclose(losses[name], expected[name], rtol=1e-4), name


@pytest.mark.parametrize(
    'options',
    [dict(routing=EXIT_HEADS), dict(quality=QUALITY, loss_cls=VARIFOCAL)],
    ids=['exit heads', 'one-to-many'],
)
def test_exit_heads_and_one_to_many_losses_see_all_queries(options):
    if 'quality' in options:
        options = options | dict(loss_cls=VARIFOCAL)
    batch = make_batch([3, 2])
    routing = options.pop('routing', {})
    losses, expected = (
        run_loss(
            routed('dino', 0.4, 0.0, routing=routing | supervise, **options), batch
        )
        for supervise in (dict(supervise='entering'), dict(supervise='all'))
    )
    part = [name for name in losses if 'exit.' in name or 'o2m' in name]
    assert part
    for name in part:
        assert torch.equal(losses[name], expected[name]), name


def test_masks_are_of_the_queries_that_are_predictions():
    """The keeper of matches stands behind, and sees no match of who bypassed."""
    detector = routed('dino', 0.0, 0.0, mask_branch=MASKS)
    losses = run_loss(detector, make_batch([2, 1], with_masks=True))
    for layer in range(NUM_LAYERS - 1):
        assert losses[f'd{layer}.loss_mask'] == 0
    assert losses['loss_mask'] > 0
    total_loss(losses).backward()


def test_nothing_is_left_on_the_head(host):
    detector = routed(host, 0.5, 0.5)
    run_loss(detector, make_batch([1, 2]))
    assert not {'_entered', 'supervised_queries'} & set(vars(detector.bbox_head))
    copy.deepcopy(detector)


def test_a_head_that_cannot_leave_queries_out_is_refused():
    model = host_config('dino', query_routing=ENTERING)
    model.bbox_head.type = 'DINOHead'
    with pytest.raises(ConfigError) as error:
        MODELS.build(model)
    assert str(error.value) == (
        "query_routing.supervise='entering' needs "
        "bbox_head.type='QualityAwareDINOHead' or that of another host, and it is "
        'DINOHead.'
    )
