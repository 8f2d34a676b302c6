"""The router learns whom a slice helps (`gradient='benefit'`)."""

import math

import pytest
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.matching import pad_ground_truth
from mmdet_qrpaq.routing import RoutingTrace
from mmdet_qrpaq.routing.benefit import benefit_losses, quality
from mmdet_qrpaq.routing.exit_heads import Predictions
from tiny_hosts import BENEFIT, build, build_host, host_config, make_batch, run_loss

LN3 = math.log(3)


def truth_of(counts=(1,)):
    samples = make_batch(list(counts))['data_samples']
    return pad_ground_truth(
        [sample.gt_instances for sample in samples],
        [sample.metainfo for sample in samples],
    )


class Assigned:
    """Stands in for an assigner: who has which object is given."""

    def __init__(self, gt_inds):
        self.gt_inds = torch.tensor(gt_inds)

    def assign(self, **_):
        return self


def test_quality_by_hand():
    """One object of class 1, queries 0 (its own) and 1 (none), two classes."""
    truth = truth_of()
    truth = truth._replace(
        labels=torch.tensor([[1]]), boxes=torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    )
    logits = torch.tensor([[[[5.0, LN3], [0.0, -LN3]]]])
    # Shifted by half its width: a third of the union.
    boxes = torch.tensor([[[[0.6, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]]]])
    found = quality(Predictions(logits, boxes), torch.tensor([[0, -1]]), truth)
    negative = 0.75 * (0.25 * math.log(2) + 0.0625 * math.log(4 / 3))
    expected = torch.tensor([[[0.75 / 3, -negative]]])
    torch.testing.assert_close(found, expected)


def test_loss_by_hand():
    """Query 0 has the object and gets worse; 1 has none, gets surer of it."""
    truth = truth_of()
    target = truth.boxes[0, 0]
    label = int(truth.labels[0, 0])
    boxes = target.expand(1, 1, 2, 4)
    before = torch.full((1, 1, 2, 10), -5.0)
    after = before.clone()
    before[..., 0, label], after[..., 0, label] = 1.0, 0.0
    before[..., 1, 0], after[..., 1, 0] = 0.0, -1.0
    # Margins ln 3 and 0: 'enter' with 3/4 and 1/2.
    scores = torch.tensor([[[LN3, 0.0], [0.5, 0.5]]], requires_grad=True)
    queries = torch.zeros(1, 2, 4)
    trace = RoutingTrace(scores, torch.ones(1, 2).bool(), queries, queries)
    loss = benefit_losses(
        Assigned([1, 0]),
        [trace],
        Predictions(before, boxes),
        Predictions(after, boxes),
        truth,
    )
    torch.testing.assert_close(loss, torch.tensor([math.log(4) + math.log(2)]))
    loss.sum().backward()
    # p - target, for 'enter' and, negated, for 'bypass'.
    expected = torch.tensor([[[0.75, -0.75], [-0.5, 0.5]]])
    torch.testing.assert_close(scores.grad, expected)


def test_in_a_detector_against_a_loop(host):
    """What the layers and heads do of their own, query by query."""
    detector = build_host(host, 'qr_benefit')
    seen = {}
    detector.exit_losses = lambda *inputs, compute=detector.exit_losses: (
        seen.update(inputs=inputs, losses=compute(*inputs)) or dict(seen['losses'])
    )
    torch.manual_seed(0)
    for layer in detector.routed_layers:
        torch.nn.init.normal_(layer.router.projection.weight, std=0.1)
    losses = run_loss(detector, make_batch([2, 3]))
    traces, references, samples = seen['inputs']
    assert not all(trace.enter.all() for trace in traces), 'some bypass'
    truth = pad_ground_truth(
        [sample.gt_instances for sample in samples],
        [sample.metainfo for sample in samples],
    )
    before, after = (
        detector.exit_heads([getattr(trace, name) for trace in traces], references)
        for name in ('before', 'after')
    )
    for layer, trace in enumerate(traces):
        with_object, without = [], []
        for image, objects in enumerate(truth.instances):
            found = detector.bbox_head.assigner.assign(
                pred_instances=detector_instances(after, image, truth),
                gt_instances=objects,
                img_meta=truth.metas[image],
            ).gt_inds
            for query, number in enumerate(found.tolist()):
                goodness = []
                for prediction in (before, after):
                    logits = prediction.logits[layer, image, query]
                    if number:
                        overlap = bbox_overlaps(
                            bbox_cxcywh_to_xyxy(
                                prediction.boxes[layer, image, query][None]
                            ),
                            bbox_cxcywh_to_xyxy(truth.boxes[image, number - 1][None]),
                        )
                        label = objects.labels[number - 1]
                        goodness.append(float(logits[label].sigmoid() * overlap))
                    else:
                        p = logits.sigmoid()
                        goodness.append(float((0.75 * p**2 * (1 - p).log()).sum()))
                enter, bypass = trace.scores[image, query].tolist()
                p = 1 / (1 + math.exp(bypass - enter))
                better = goodness[1] > goodness[0]
                (with_object if number else without).append(
                    -math.log(p if better else 1 - p)
                )
        expected = sum(map(mean, (with_object, without)))
        assert float(losses[f'exit.d{layer}.loss_router']) == pytest.approx(
            expected, rel=1e-4
        )


def mean(numbers):
    return sum(numbers) / max(1, len(numbers))


def detector_instances(predictions, image, truth):
    from mmengine.structures import InstanceData

    return InstanceData(
        scores=predictions.logits[-1, image],
        bboxes=bbox_cxcywh_to_xyxy(predictions.boxes[-1, image]) * truth.scale[image],
    )


def test_the_slice_is_judged_for_those_that_bypass_too(host):
    detector = build_host(host, 'qr_benefit')
    layer = detector.routed_layers[0]
    layer.router.projection.weight.data.zero_()
    layer.router.projection.bias.data.copy_(torch.tensor([-1.0, 1.0]))
    seen = []
    detector.exit_losses = lambda traces, *_: seen.extend(traces) or {}
    run_loss(detector, make_batch([2, 3]))
    assert not seen[0].enter.any()
    assert not torch.equal(seen[0].before, seen[0].after)


def test_it_alone_teaches_the_routers_all_of_them(host):
    detector = build_host(host, 'qr_benefit')
    losses = run_loss(detector, make_batch([2, 0]))
    weights = [layer.router.projection.weight for layer in detector.routed_layers]
    router = sum(v for k, v in losses.items() if k.endswith('loss_router'))
    others = sum(v for k, v in losses.items() if not k.endswith('loss_router'))
    for grad in torch.autograd.grad(router, weights, retain_graph=True):
        assert grad.abs().max() > 0
    grads = torch.autograd.grad(others, weights, allow_unused=True)
    assert all(grad is None or not grad.any() for grad in grads)


def test_scores_alone_cannot_tell():
    with pytest.raises(ConfigError, match="exit_input='scores' has no place"):
        build(
            host_config('deformable', query_routing=dict(BENEFIT, exit_input='scores'))
        )
