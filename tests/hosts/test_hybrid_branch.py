"""The hybrid branch: extra queries that nobody notices (PaQ-DETR Table 3, H-DETR)."""

import copy
import functools
import itertools

import pytest
import torch
from mmengine.model import ExponentialMovingAverage

from mmdet_qrpaq.errors import ConfigError
from reference.hybrid_losses import hybrid_losses
from tiny_hosts import (
    MASKS,
    METHODS,
    NUM_CLASSES,
    NUM_QUERIES,
    ROUTING,
    build,
    build_host,
    host_config,
    make_batch,
    run_loss,
    total_loss,
    without_dropout,
)

# Those that learn their content and take their anchors from the encoder.
HYBRID_HOSTS = ('dino', 'dab_deformable', 'dn_deformable')
EXTRA, REPEATS, NUM_LAYERS = 20, 6, 3
HYBRID = dict(num_queries=EXTRA, num_repeats=REPEATS)
KEY = 'hybrid_queries.weight'
TWO_SIZES = [(64, 96), (48, 64)]


@pytest.fixture(params=HYBRID_HOSTS)
def host(request) -> str:
    return request.param


@functools.cache
def _hybrid(host: str, method: str) -> torch.nn.Module:
    config = host_config(host, **METHODS[method], hybrid_branch=HYBRID)
    detector = without_dropout(build(config))
    # At first zero, they would tell nothing about the queries.
    for branch in detector.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.05)
    return detector


def build_hybrid(host: str, method: str = 'none') -> torch.nn.Module:
    return copy.deepcopy(_hybrid(host, method))


def build_pair(host: str, method: str = 'none') -> tuple:
    """A detector with the branch and one without, of the same weights."""
    hybrid, plain = build_hybrid(host, method), build_host(host, method)
    result = without_dropout(plain).load_state_dict(hybrid.state_dict(), strict=False)
    assert (result.missing_keys, result.unexpected_keys) == ([], [KEY])
    return hybrid, plain


def decoded(detector, batch: dict, seed: int = 1) -> dict:
    """What the head gets in training."""
    torch.manual_seed(seed)
    features = detector.extract_feat(batch['inputs'])
    return detector.forward_transformer(features, batch['data_samples'])


def before_decoding(detector, batch: dict) -> dict:
    """What the decoder gets in training, and the sizes of the levels."""
    found = {}
    forward_decoder = detector.forward_decoder

    def look(**inputs):
        found.update(inputs)
        return forward_decoder(**inputs)

    detector.forward_decoder = look
    decoded(detector, batch)
    del detector.forward_decoder
    return found


def extra_part(losses: dict) -> dict:
    return {key: value for key, value in losses.items() if key.startswith('hybrid.')}


@pytest.mark.parametrize('num_objects', [[2, 3], [0, 0]])
@pytest.mark.parametrize('method', ['none', 'paq'])
def test_the_hosts_queries_do_not_notice(host, method, num_objects):
    """Neither matching nor denoising ones, nor the encoder's proposals."""
    hybrid, plain = build_pair(host, method)
    batch = make_batch(num_objects, TWO_SIZES)
    found, expected = decoded(hybrid, batch), decoded(plain, batch)
    assert set(found) == set(expected)
    assert found.pop('dn_meta') == expected.pop('dn_meta')
    for name, value in expected.items():
        for mine, theirs in zip(found[name], value, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)

    losses, expected = run_loss(hybrid, batch), run_loss(plain, batch)
    for key, value in expected.items():
        torch.testing.assert_close(losses.pop(key), value, rtol=1e-4, atol=1e-5)
    assert losses == extra_part(losses)
    names = ('loss_cls', 'loss_bbox', 'loss_iou')
    layers = ('', *(f'd{i}.' for i in range(NUM_LAYERS - 1)))
    assert set(losses) == {f'hybrid.{layer}{n}' for layer in layers for n in names}


def test_masks_do_not_notice(host):
    options = METHODS['paq'] | dict(mask_branch=MASKS)
    hybrid = build(host_config(host, **options, hybrid_branch=HYBRID))
    plain = build(host_config(host, **options))
    plain.load_state_dict(hybrid.state_dict(), strict=False)
    batch = make_batch([2, 3], TWO_SIZES, with_masks=True)
    losses, expected = run_loss(hybrid, batch), run_loss(plain, batch)
    assert {'loss_mask', 'd0.loss_mask', 'd1.loss_mask'} < set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(losses.pop(key), value, rtol=1e-4, atol=1e-5)
    assert losses == extra_part(losses)


def test_the_extra_queries_do_not_notice_either(host):
    detector = build_hybrid(host)
    batch = make_batch([2, 3], TWO_SIZES)
    expected = extra_part(run_loss(detector, batch))
    for embedding in (detector.query_embedding, detector.dn_query_generator):
        for parameter in embedding.parameters():
            torch.nn.init.normal_(parameter)
    for key, value in extra_part(run_loss(detector, batch)).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5)
    torch.nn.init.normal_(detector.hybrid_queries.weight)
    changed = extra_part(run_loss(detector, batch))
    assert all(changed[key] != value for key, value in expected.items())


@pytest.mark.parametrize('method', ['none', 'p'])
def test_order_anchors_and_who_sees_whom(host, method):
    hybrid, plain = build_pair(host, method)
    batch = make_batch([2, 3], TWO_SIZES)
    found, expected = (before_decoding(d, batch) for d in (hybrid, plain))
    number = expected['query'].shape[1]
    denoising = number - NUM_QUERIES
    assert found['query'].shape[1] == number + EXTRA
    kinds = ['denoising'] * denoising + ['extra'] * EXTRA + ['matching'] * NUM_QUERIES
    old = [i for i, kind in enumerate(kinds) if kind != 'extra']
    new = slice(denoising, denoising + EXTRA)
    for name in ('query', 'reference_points'):
        torch.testing.assert_close(found[name][:, old], expected[name])
    assert (found['query'][:, new] == hybrid.hybrid_queries.weight).all()

    mask = expected['dn_mask']
    if mask is None:
        mask = torch.zeros(number, number, dtype=torch.bool)
    mask, blocks = mask.tolist(), found['dn_mask'].tolist()
    for i, j in itertools.product(range(number + EXTRA), repeat=2):
        if 'extra' in (kinds[i], kinds[j]):
            blocked = kinds[i] != kinds[j]
        else:
            blocked = mask[old.index(i)][old.index(j)]
        assert blocks[i][j] == blocked, (i, j)

    # The extra anchors are the proposals behind those of the host.
    images = []
    output, anchors = hybrid.gen_encoder_output_proposals(
        found['memory'], found['memory_mask'], found['spatial_shapes']
    )
    scores = hybrid.bbox_head.cls_branches[-1](output).amax(-1)
    boxes = (hybrid.bbox_head.reg_branches[-1](output) + anchors).sigmoid()
    for score, box in zip(scores, boxes, strict=True):
        ranked = sorted(range(len(score)), key=lambda i: -score[i])  # noqa: B023
        images.append(box[ranked[NUM_QUERIES : NUM_QUERIES + EXTRA]])
    torch.testing.assert_close(found['reference_points'][:, new], torch.stack(images))


# Six times five objects are more than the extra queries.
@pytest.mark.parametrize('num_objects', [[2, 3], [0, 1], [5, 0], [0, 0]])
@pytest.mark.parametrize('method', ['none', 'paq'])
def test_the_losses_are_those_of_a_loop(method, num_objects):
    detector = build_hybrid('dino', method)
    batch = make_batch(num_objects, TWO_SIZES)
    calls = []
    head = detector.bbox_head
    handle = head.register_forward_hook(lambda *args: calls.append(args[-1]))
    losses = run_loss(detector, batch)
    handle.remove()
    logits, boxes = calls[-1]
    assert logits.shape == (NUM_LAYERS, 2, EXTRA, NUM_CLASSES)
    for i, layer in enumerate([*(f'd{i}.' for i in range(NUM_LAYERS - 1)), '']):
        expected = hybrid_losses(head, logits[i], boxes[i], batch, REPEATS)
        for name, value in zip(('cls', 'bbox', 'iou'), expected, strict=True):
            found = losses[f'hybrid.{layer}loss_{name}']
            torch.testing.assert_close(found, value.reshape(found.shape))


@pytest.mark.parametrize('num_objects', [[0, 2], [0, 0]])
@pytest.mark.parametrize('method', ['none', 'paq'])
def test_every_parameter_gets_a_finite_gradient(host, method, num_objects):
    detector = build_hybrid(host, method)
    losses = run_loss(detector, make_batch(num_objects))
    assert all(value.isfinite().all() for value in losses.values())
    total_loss(losses).backward()
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    assert detector.hybrid_queries.weight.grad.any(1).all()


@pytest.mark.parametrize('method', ['none', 'paq'])
def test_nothing_of_it_in_testing(host, method):
    hybrid, plain = build_pair(host, method)
    assert set(hybrid.state_dict()) - set(plain.state_dict()) == {KEY}
    hybrid.eval(), plain.eval()
    torch.nn.init.constant_(hybrid.hybrid_queries.weight, torch.nan)
    batch = make_batch([2, 3], TWO_SIZES)
    with torch.no_grad():
        for mine, theirs in zip(hybrid(**batch), plain(**batch), strict=True):
            assert mine.shape[2] == NUM_QUERIES
            assert torch.equal(mine, theirs)


def test_deepcopy_ema_and_autocast(host):
    detector = build_hybrid(host, 'paq')
    with torch.autocast('cpu', torch.bfloat16):
        losses = run_loss(detector, make_batch([2, 3]))
    assert all(value.isfinite().all() for value in losses.values())
    total_loss(losses).backward()
    clone = copy.deepcopy(detector)
    ExponentialMovingAverage(detector).update_parameters(detector)
    batch = make_batch([1, 2])
    losses, expected = run_loss(clone, batch), run_loss(detector, batch)
    assert all(torch.equal(losses[key], value) for key, value in expected.items())


def test_a_failed_iteration_leaves_nothing_behind(host):
    detector = build_hybrid(host)
    with pytest.raises(
        ConfigError, match='20 beside 12 queries, but this batch has 22 pos'
    ):
        run_loss(detector, make_batch([1, 2], [(32, 32), (24, 32)]))
    detector.bbox_head.loss = lambda **_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run_loss(detector, make_batch([2]))
    del detector.bbox_head.loss

    def fail(*_):
        raise RuntimeError

    detector.gen_encoder_output_proposals = fail
    with pytest.raises(RuntimeError):
        run_loss(detector, make_batch([2]))
    del detector.gen_encoder_output_proposals
    assert detector.num_queries == NUM_QUERIES
    assert '_hybrid_outputs' not in vars(detector)
    copy.deepcopy(detector)
    run_loss(detector, make_batch([2]))


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(num_queries=0), 'hybrid_branch.num_queries is 0: .*the paper: 1500'),
        (dict(num_repeats=2.5), 'hybrid_branch.num_repeats is 2.5: .*the paper: 6'),
        (dict(num_query=3), "no setting 'num_query': use num_queries, num_repeats"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        build(host_config('dino', hybrid_branch=options))


def test_routing_is_refused(host):
    config = host_config(host, query_routing=ROUTING, hybrid_branch=HYBRID)
    with pytest.raises(ConfigError, match='query_routing and hybrid_branch are both'):
        build(config)


def test_the_default_is_the_papers():
    detector = build(host_config('dino', hybrid_branch=dict()))
    assert detector.hybrid_queries.weight.shape == (1500, 256)
    assert detector.hybrid_repeats == 6
