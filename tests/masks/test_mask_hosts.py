"""The mask branch on every deformable host, with the other methods off and on."""

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.structures import InstanceData

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.masks import MaskBranch
from tiny_hosts import (
    HOSTS,
    MASKS,
    METHODS,
    NUM_QUERIES,
    build,
    build_host,
    host_config,
    make_batch,
    run_loss,
    total_loss,
)

SINGLE_SCALE = ('conditional', 'dab')
DEFORMABLE = [name for name in sorted(HOSTS) if name not in SINGLE_SCALE]
SHAPES = [(64, 96), (50, 70)]
HYBRID = dict(num_queries=7, num_repeats=2)
BUILT = {}


def with_masks(host, method='none', **options):
    key = (host, method, *options)
    if key not in BUILT:
        BUILT[key] = build(
            host_config(host, **METHODS[method], mask_branch=MASKS, **options)
        )
    return copy.deepcopy(BUILT[key])


def batch_with_masks(num_objects=(2, 3), shapes=SHAPES):
    return make_batch(list(num_objects), shapes, with_masks=True)


def is_mask_loss(key):
    return 'mask' in key or 'dice' in key


@pytest.fixture(params=DEFORMABLE)
def host(request):
    return request.param


@pytest.mark.parametrize('method', ['none', 'qrpaq'])
def test_it_only_adds_to_the_host(host, method):
    """Keys, losses and detections of the host stay as they are, bit for bit."""
    ours, plain = with_masks(host, method), build_host(host, method)
    result = ours.load_state_dict(plain.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert result.missing_keys
    assert all(key.startswith('mask_branch.') for key in result.missing_keys)

    batch = batch_with_masks()
    found, expected = run_loss(ours, batch), run_loss(plain, batch)
    rest = {key: value for key, value in found.items() if not is_mask_loss(key)}
    assert list(rest) == list(expected)
    assert all(torch.equal(rest[key], expected[key]) for key in rest)
    layers = [f'd{i}.' for i in range(len(ours.decoder.layers) - 1)] + ['']
    assert found.keys() - rest.keys() == {
        f'{layer}loss_{kind}' for layer in layers for kind in ('mask', 'dice')
    }

    ours.eval(), plain.eval()
    with torch.no_grad():
        predicted = ours(**copy.deepcopy(batch), mode='predict')
        beside = plain(**copy.deepcopy(batch), mode='predict')
    for mine, theirs, shape in zip(predicted, beside, SHAPES, strict=True):
        mine, theirs = mine.pred_instances, theirs.pred_instances
        assert set(mine.keys()) == {*theirs.keys(), 'masks'}
        for key in theirs.keys():
            assert torch.equal(mine[key], theirs[key])
        assert mine.masks.shape == (len(theirs), *shape)


@pytest.mark.parametrize('method', ['none', 'qrpaq'])
@pytest.mark.parametrize('num_objects', [(2, 1), (0, 2), (0, 0)], ids=str)
def test_every_parameter_gets_a_finite_gradient(host, method, num_objects):
    detector = with_masks(host, method)
    losses = run_loss(detector, batch_with_masks(num_objects))
    assert all(torch.isfinite(value).all() for value in losses.values())
    total_loss(losses).backward()
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            if name.startswith('mask_branch.'):
                assert parameter.grad.any() == any(num_objects), name


@pytest.mark.parametrize('method', ['none', 'qrpaq'])
def test_deepcopy_ema_and_autocast_after_a_step(host, method):
    detector = with_masks(host, method)
    with torch.autocast('cpu', torch.bfloat16):
        losses = run_loss(detector, batch_with_masks())
    assert all(torch.isfinite(value).all() for value in losses.values())
    total_loss(losses).backward()
    clone = copy.deepcopy(detector).eval()
    ema = ExponentialMovingAverage(detector)
    ema.update_parameters(detector)
    detector.eval()
    with torch.no_grad():
        masks = [
            [
                s.pred_instances.masks
                for s in model(**batch_with_masks(), mode='predict')
            ]
            for model in (detector, clone, ema.module.eval())
        ]
    for first, second, third in zip(*masks, strict=True):
        assert torch.equal(first, second)
        # An average of equal numbers may round: a pixel at the threshold may flip.
        assert (first == third).float().mean() > 0.999


@pytest.mark.parametrize('method', ['none', 'paq'])
def test_matches_are_what_the_assigner_says(host, method):
    """For each decoder layer and image, called by hand, with denoising before them."""
    detector = with_masks(host, method)
    batch = batch_with_masks()
    seen = {}
    compute = MaskBranch.loss

    def spy(branch, hidden_states, pixels, matches, objects):
        seen.update(states=hidden_states, matches=matches)
        return compute(branch, hidden_states, pixels, matches, objects)

    head = detector.bbox_head
    forward = type(head).forward

    def keep_outputs(self, *inputs, **options):
        seen['outputs'] = forward(self, *inputs, **options)
        return seen['outputs']

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MaskBranch, 'loss', spy)
        patch.setattr(type(head), 'forward', keep_outputs)
        run_loss(detector, batch)
    scores, boxes = (item[:, :, -NUM_QUERIES:] for item in seen['outputs'])
    assert seen['states'].shape[:3] == scores.shape[:3]
    for layer in range(len(scores)):
        for image, sample in enumerate(batch['data_samples']):
            h, w = sample.img_shape
            centre, size = boxes[layer, image].chunk(2, -1)
            corners = torch.cat((centre - size / 2, centre + size / 2), -1)
            given = head.assigner.assign(
                InstanceData(
                    scores=scores[layer, image],
                    bboxes=corners * torch.tensor([w, h, w, h]),
                ),
                sample.gt_instances,
                sample.metainfo,
            )
            assert torch.equal(seen['matches'][layer, image], given.gt_inds - 1)


def test_a_mask_belongs_to_the_query_of_its_box(host):
    detector = with_masks(host).eval()
    batch = batch_with_masks()
    seen = []
    compute = MaskBranch.predict

    def spy(branch, queries, *others):
        seen.append(queries)
        return compute(branch, queries, *others)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(MaskBranch, 'predict', spy)
        results = detector(**batch, mode='predict')
    with torch.no_grad():
        features = detector.extract_feat(batch['inputs'])
        inputs = detector.forward_transformer(features, batch['data_samples'])
        boxes = detector.bbox_head(**inputs)[1][-1]
        states = inputs['hidden_states'][-1]
    for image, (sample, queries) in enumerate(zip(results, seen, strict=True)):
        same = (queries[:, None] == states[image]).all(-1)
        assert (same.sum(1) == 1).all()
        mine = boxes[image][same.int().argmax(1)]
        h, w = sample.img_shape
        corners = torch.cat(
            (mine[:, :2] - mine[:, 2:] / 2, mine[:, :2] + mine[:, 2:] / 2), 1
        ) * torch.tensor([w, h, w, h])
        corners = torch.minimum(corners.clamp(min=0), torch.tensor([w, h, w, h]))
        torch.testing.assert_close(sample.pred_instances.bboxes, corners)


def test_a_batch_of_two_equals_two_of_one(host):
    detector = with_masks(host, 'qrpaq').eval()
    batch = make_batch([2, 3])
    with torch.no_grad():
        together = detector(**batch)[2]
        for i in range(2):
            alone = detector(*(part[i : i + 1] for part in batch.values()))[2]
            torch.testing.assert_close(together[i], alone[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('host', ['dino', 'dab_deformable'])
def test_extra_queries_of_training_get_no_masks(host):
    detector = with_masks(host, hybrid_branch=HYBRID)
    plain = with_masks(host)
    detector.load_state_dict(plain.state_dict(), strict=False)
    for part in (*detector.modules(), *plain.modules()):
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    batch = batch_with_masks()
    # The draw of the points is the same as long as the extra queries draw nothing.
    found, expected = run_loss(detector, batch), run_loss(plain, batch)
    mine = {key for key in found if is_mask_loss(key)}
    assert mine == {key for key in expected if is_mask_loss(key)}
    for key in mine:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('host', SINGLE_SCALE)
def test_a_host_with_one_coarse_level_refuses(host):
    with pytest.raises(ConfigError, match='has one coarse level: .* a deformable host'):
        build(host_config(host, mask_branch=MASKS))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(backbone=dict(out_indices=(1, 2, 3))), 'its first has stride 8: set'),
        (dict(neck=dict(in_channels=[16, 32, 64])), r'backbone have \[32, 64, 128\]'),
        (dict(bbox_head=dict(type='DINOHead')), 'and it is DINOHead'),
        (dict(mask_branch=dict(embed_dims=8)), 'mask_branch.embed_dims is set by'),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_when_the_model_is_built(changes, message):
    model = host_config('dino', mask_branch=MASKS)
    for key, change in changes.items():
        model[key].update(change)
    with pytest.raises(ConfigError, match=message):
        build(model)


def test_looking_at_the_backbone_leaves_it_as_it_was():
    plain, ours = build_host('dino').backbone, with_masks('dino').backbone
    for mine, theirs in zip(ours.modules(), plain.modules(), strict=True):
        assert mine.training == theirs.training
    for key, value in plain.named_buffers():
        assert torch.equal(ours.get_buffer(key), value), key


def test_objects_keep_their_masks_and_must_have_them():
    detector, batch = with_masks('deformable_two_stage'), batch_with_masks()
    run_loss(detector, batch)
    assert all('masks' in sample.gt_instances for sample in batch['data_samples'])
    with pytest.raises(ConfigError, match='the training pipeline loads no masks'):
        run_loss(detector, make_batch([2, 3], SHAPES))


def test_a_neck_may_take_the_feature_of_stride_4_as_well():
    model = host_config('dino', mask_branch=MASKS)
    model.neck.in_channels = [16, 32, 64, 128]
    detector = build(model)
    losses = run_loss(detector, batch_with_masks())
    assert torch.isfinite(total_loss(losses))
