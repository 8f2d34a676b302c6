"""DAB- and DN-Deformable-DETR, which mmdet does not have, against their definition."""

import itertools

import pytest
import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.models.detectors import DeformableDETR
from mmdet.models.layers import coordinate_to_encoding, inverse_sigmoid
from mmdet.structures.bbox import (
    bbox_cxcywh_to_xyxy,
    bbox_overlaps,
    bbox_xyxy_to_cxcywh,
)

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.hosts.dn_deformable_detr import PlainDenoising
from tiny_hosts import (
    NUM_CLASSES,
    NUM_QUERIES,
    box_features,
    build,
    build_host,
    host_config,
    make_batch,
    run_loss,
    total_loss,
)

TWO_SIZES = [(64, 96), (48, 64)]


def objects_of(batch: dict) -> tuple[list, list]:
    samples = batch['data_samples']
    return [s.gt_instances for s in samples], [s.metainfo for s in samples]


def plain_forward(detector, batch: dict) -> tuple:
    """DAB-Deformable-DETR, written down: predictions of layers and of the encoder."""
    encoder_inputs, decoder_inputs = DeformableDETR.pre_transformer(
        detector, detector.extract_feat(batch['inputs']), batch['data_samples']
    )
    found = DeformableDETR.forward_encoder(detector, **encoder_inputs)
    head, decoder = detector.bbox_head, detector.decoder
    output, anchors = detector.gen_encoder_output_proposals(**found)
    scores = head.cls_branches[-1](output)
    boxes = head.reg_branches[-1](output) + anchors
    best = [row.max(-1)[0].topk(NUM_QUERIES)[1] for row in scores]
    scores, boxes = (
        torch.stack([row[i] for row, i in zip(item, best, strict=True)])
        for item in (scores, boxes.sigmoid())
    )

    query = detector.query_embedding.weight.expand(len(boxes), -1, -1)
    box = boxes.detach()
    mask = decoder_inputs.pop('memory_mask')
    ratios = decoder_inputs['valid_ratios'].repeat(1, 1, 2)[:, None]
    layer_scores, layer_boxes = [], []
    for i, layer in enumerate(decoder.layers):
        scaled = box[:, :, None] * ratios
        encoded = coordinate_to_encoding(scaled[:, :, 0], num_feats=box_features())
        query = layer(
            query,
            query_pos=decoder.ref_point_head(encoded),
            value=found['memory'],
            key_padding_mask=mask,
            reference_points=scaled,
            **decoder_inputs,
        )
        refined = (head.reg_branches[i](query) + inverse_sigmoid(box)).sigmoid()
        layer_scores.append(head.cls_branches[i](query))
        layer_boxes.append(refined)
        box = refined.detach()
    return torch.stack(layer_scores), torch.stack(layer_boxes), scores, boxes


def build_plain() -> torch.nn.Module:
    """DAB with all off; its box branches, at first zero, refine and pass gradients."""
    detector = build_host('dab_deformable')
    torch.manual_seed(0)
    for branch in detector.bbox_head.reg_branches[:-1]:
        torch.nn.init.normal_(branch[-1].weight, std=0.05)
    return detector


def test_dab_with_all_off_is_the_plain_forward():
    detector = build_plain().eval()
    batch = make_batch([2, 3], TWO_SIZES)
    with torch.no_grad():
        expected = plain_forward(detector, batch)[:2]
        for mine, theirs in zip(detector(**batch), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_dab_with_all_off_has_the_losses_and_gradients_of_the_plain_forward():
    """The gradients tell whether a layer's losses move the boxes it starts from."""
    detector = build_plain()
    batch = make_batch([2, 3], TWO_SIZES)
    losses = run_loss(detector, batch)
    total_loss(losses).backward()
    gradients = {name: p.grad for name, p in detector.named_parameters()}
    detector.zero_grad()

    scores, boxes, *encoder = plain_forward(detector, batch)
    head = detector.bbox_head
    expected = DETRHead.loss_by_feat(head, scores, boxes, *objects_of(batch))
    of_encoder = head.loss_by_feat_single(*encoder, *objects_of(batch))
    names = ('enc_loss_cls', 'enc_loss_bbox', 'enc_loss_iou')
    expected |= dict(zip(names, of_encoder, strict=True))
    assert set(losses) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value, rtol=1e-5, atol=1e-5)
    total_loss(expected).backward()
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            error = (gradients[name] - parameter.grad).abs().max()
            assert error <= 1e-4 * parameter.grad.abs().max().clamp(min=1e-3), name


@pytest.mark.parametrize('num_objects', [[0, 0], [2, 3], [0, 5]])
def test_denoising_only_adds_losses(num_objects):
    """No matching query sees a denoising one; without objects there is none."""
    dn, dab = build_host('dn_deformable'), build_host('dab_deformable')
    result = dab.load_state_dict(dn.state_dict(), strict=False)
    assert not result.missing_keys
    assert result.unexpected_keys == ['dn_query_generator.label_embedding.weight']
    batch = make_batch(num_objects, TWO_SIZES)
    losses, expected = run_loss(dn, batch), run_loss(dab, batch)
    for key, value in expected.items():
        torch.testing.assert_close(losses.pop(key), value, rtol=1e-4, atol=1e-5)
    names = ('dn_loss_cls', 'dn_loss_bbox', 'dn_loss_iou')
    assert set(losses) == {f'{d}{n}' for d in ('', 'd0.', 'd1.') for n in names}
    for key, value in losses.items():
        assert (value > 0) == any(num_objects), key


def test_dab_refuses_denoising():
    config = host_config('dab_deformable')
    config.dn_cfg = dict(label_noise_scale=0.4)
    with pytest.raises(ConfigError, match='take DNDeformableDETR'):
        build(config)


def test_dab_with_as_many_images_as_queries():
    """There DINO reads the weights of its denoising queries."""
    config = host_config('dab_deformable')
    config.num_queries = 2
    detector = build(config)
    total_loss(run_loss(detector, make_batch([1, 2]))).backward()
    scores, boxes = detector.eval()(**make_batch([1, 2]))
    assert scores.isfinite().all() and boxes.shape[1:] == (2, 2, 4)


def make_generator(num_classes: int = 10, **options) -> PlainDenoising:
    """Its queries show their label: each label's embedding is a unit vector."""
    generator = PlainDenoising(
        num_classes=num_classes,
        embed_dims=num_classes,
        num_matching_queries=4,
        **options,
    )
    generator.label_embedding.weight.data = torch.eye(num_classes)
    return generator


@pytest.mark.parametrize('label_noise, box_noise', [(0.4, 0.4), (1.0, 0.1), (1e-9, 1)])
def test_a_denoising_query_is_a_noisy_copy_of_its_object(label_noise, box_noise):
    torch.manual_seed(0)
    groups, num_objects = 400, [2, 0, 3]
    batch = make_batch(num_objects, [(96, 96), (64, 96), (48, 64)])
    generator = make_generator(
        label_noise_scale=label_noise,
        box_noise_scale=box_noise,
        group_cfg=dict(dynamic=False, num_groups=groups),
    )
    content, boxes, _, meta = generator(batch['data_samples'])
    assert meta == dict(num_denoising_queries=3 * groups, num_denoising_groups=groups)
    content, boxes = (item.unflatten(1, (groups, 3)) for item in (content, boxes))
    redrawn, moved = [], []
    for i, sample in enumerate(batch['data_samples']):
        number, (height, width) = num_objects[i], sample.img_shape
        assert not content[i, :, number:].any()
        target = sample.gt_instances
        assert (content[i, :, :number].sum(-1) == 1).all()
        redrawn.append(content[i, :, :number].argmax(-1) != target.labels)
        corners = bbox_cxcywh_to_xyxy(boxes[i, :, :number].sigmoid())
        truth = target.bboxes / torch.tensor([width, height, width, height])
        size = (truth[:, 2:] - truth[:, :2]).repeat(1, 2)
        # The image ends the noise, and 0.001 the inverse sigmoid.
        low, high = (truth - size * box_noise / 2, truth + size * box_noise / 2)
        assert (corners >= low.clamp(min=0) - 2e-3).all()
        assert (corners <= high.clamp(max=1) + 2e-3).all()
        moved.append(((corners - truth) / size).abs().flatten())
    share = torch.cat([item.flatten() for item in redrawn]).float().mean()
    # 9 of 10 redrawn labels are others; five standard deviations of 2000 draws.
    assert share == pytest.approx(0.9 * label_noise / 2, abs=0.06)
    assert label_noise > 0.1 or share == 0
    # Uniform up to the bound: half of it on average.
    assert torch.cat(moved).mean() == pytest.approx(box_noise / 4, rel=0.1)


@pytest.mark.parametrize(
    'num_objects, options, groups',
    [
        ([2, 3], dict(dynamic=True, num_dn_queries=7), 2),
        ([2, 9], dict(dynamic=True, num_dn_queries=7), 1),
        ([1, 1], dict(dynamic=False, num_groups=3), 3),
        ([0, 0], dict(dynamic=True, num_dn_queries=7), 1),
        ([0, 0], dict(dynamic=False, num_groups=3), 3),
    ],
)
def test_who_sees_whom(num_objects, options, groups):
    generator = make_generator(group_cfg=options)
    content, boxes, mask, meta = generator(make_batch(num_objects)['data_samples'])
    number = max(num_objects) * groups
    assert meta == dict(num_denoising_queries=number, num_denoising_groups=groups)
    assert content.shape == (2, number, 10) and boxes.shape == (2, number, 4)
    assert mask.shape == (number + 4, number + 4)
    for i, j in itertools.product(range(number + 4), repeat=2):
        if j >= number:
            sees = True
        elif i >= number:
            sees = False
        else:
            sees = i // max(num_objects) == j // max(num_objects)
        assert mask[i, j] == (not sees), (i, j)


@pytest.mark.parametrize('method', ['none', 'q'])
def test_the_denoising_losses_are_those_of_the_objects_alone(method):
    """As in DN-DETR: sums over objects and groups, over how many these are."""
    head = build_host('dn_deformable', method).bbox_head
    groups, largest = 2, 3
    batch = make_batch([3, 1], TWO_SIZES)
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, groups * largest, NUM_CLASSES, generator=draw)
    boxes = torch.rand(2, groups * largest, 4, generator=draw) * 0.4 + 0.3
    meta = dict(num_denoising_queries=groups * largest, num_denoising_groups=groups)
    found = head._loss_dn_single(logits, boxes, *objects_of(batch), meta)

    rows = [(0, g * largest + t, t) for g in range(groups) for t in range(3)]
    rows += [(1, g * largest, 0) for g in range(groups)]
    targets, sizes = [], []
    for image, _, t in rows:
        sample = batch['data_samples'][image]
        height, width = sample.img_shape
        sizes.append(torch.tensor([width, height, width, height]))
        targets.append(sample.gt_instances[t])
    labels = torch.cat([target.labels for target in targets])
    sizes = torch.stack(sizes)
    truth = torch.cat([target.bboxes for target in targets])
    logit = torch.stack([logits[image, q] for image, q, _ in rows])
    box = torch.stack([boxes[image, q] for image, q, _ in rows])
    corners = bbox_cxcywh_to_xyxy(box)
    if method == 'q':
        iou = bbox_overlaps(corners, truth / sizes, is_aligned=True)
        labels = (labels, iou)
    expected = (
        head.loss_cls(logit, labels, avg_factor=len(rows)),
        head.loss_bbox(box, bbox_xyxy_to_cxcywh(truth / sizes), avg_factor=len(rows)),
        head.loss_iou(corners * sizes, truth, avg_factor=len(rows)),
    )
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.squeeze(), theirs)
