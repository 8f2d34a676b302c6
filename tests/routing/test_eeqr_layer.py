"""The routed layer against the layer it adopts, over hosts x sites."""

import copy

import pytest
import torch

from mmdet_qrpaq.routing import EEQRDecoderLayer, Router
from reference.routing import gated_sublayers
from tiny_hosts import NUM_QUERIES, ForcedPolicy, build_host, make_batch, run_loss

SITES = ('layer', 'self_attn', 'cross_attn')
SCOPES = ('routed', 'all')
EVERYONE = dict(router=dict(init='enter'), policy=dict(type='ThresholdPolicy'))


@pytest.mark.parametrize('ffn_scope', SCOPES)
@pytest.mark.parametrize('site', SITES)
def test_if_all_enter_it_is_the_hosts_layer(host, site, ffn_scope, layer_call):
    for index in range(3):
        call = layer_call(host, index)
        expected = call.layer(call.query, **call.inputs)
        for executor in ('dense', 'gather'):
            layer = call.routed(
                site, ffn_scope=ffn_scope, executor=executor, **EVERYONE
            )
            found = layer(call.query, **call.inputs)
            assert layer.take_trace().enter.all()
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('executor', ['dense', 'gather'])
@pytest.mark.parametrize('ffn_scope', SCOPES)
@pytest.mark.parametrize('site', SITES)
def test_if_none_enters_the_slice_is_not_there(
    host, site, ffn_scope, executor, layer_call
):
    """What remains is the host's own sub-layers outside the slice."""
    call = layer_call(host)
    layer = call.routed(
        site, ffn_scope=ffn_scope, executor=executor, policy=ForcedPolicy(0, 0)
    )
    parts, inputs = call.layer, dict(call.inputs)
    gated = gated_sublayers(site, ffn_scope)
    # The denoising queries enter, and see nobody who does not.
    expected = call.query[:, call.num_denoising :]
    if 'self_attn' not in gated:
        position = inputs['query_pos']
        everyone = parts.self_attn(
            query=call.query,
            key=call.query,
            query_pos=position,
            key_pos=position,
            attn_mask=inputs.get('self_attn_mask'),
        )
        expected = parts.norms[0](everyone)[:, call.num_denoising :]
    if 'cross_attn' not in gated:
        inputs.pop('self_attn_mask', None)
        for name in ('query_pos', 'reference_points', 'ref_sine_embed'):
            if name in inputs:
                inputs[name] = inputs[name][:, call.num_denoising :]
        expected = parts.norms[1](parts.cross_attn(query=expected, **inputs))
    if 'ffn' not in gated:
        expected = parts.norms[2](parts.ffn(expected))
    found = layer(call.query, **call.inputs)[:, call.num_denoising :]
    if len(gated) == 3:
        assert torch.equal(found, expected), 'all of it bypassed, bit for bit'
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('site', SITES)
def test_denoising_queries_always_enter_and_are_not_counted(site, layer_call):
    call = layer_call('dino')
    assert call.num_denoising > 0
    layer = call.routed(site, policy=ForcedPolicy(0, 0))
    found = layer(call.query, **call.inputs)[:, : call.num_denoising]
    trace = layer.take_trace()
    assert trace.enter.shape == (2, NUM_QUERIES) and not trace.enter.any()
    assert trace.scores.shape == (2, NUM_QUERIES, 2)
    assert trace.after.shape == (2, NUM_QUERIES, 256)
    # In a gated self-attention they see each other, in their groups, and nobody else.
    inputs, seen = dict(call.inputs), call.query.shape[1]
    if site != 'cross_attn':
        seen = call.num_denoising
        inputs['self_attn_mask'] = inputs['self_attn_mask'][:seen, :seen]
        for name in ('query_pos', 'reference_points'):
            inputs[name] = inputs[name][:, :seen]
    expected = call.layer(call.query[:, :seen], **inputs)[:, : call.num_denoising]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ('router_input', 'scores'),
    [
        ('content', [[5.0, -1.0]]),  # 2 * 1 + 3, 2 * -1 + 1
        ('content_and_position', [[25.0, -21.0]]),  # 22 * 1 + 3, 22 * -1 + 1
    ],
)
def test_scores_by_hand(router_input, scores):
    router = Router(1, router_input)
    router.projection.weight.data = torch.tensor([[1.0], [-1.0]])
    router.projection.bias.data = torch.tensor([3.0, 1.0])
    found = router(torch.tensor([[[2.0]]]), torch.tensor([[[20.0]]]))
    assert found[0].tolist() == scores


def test_scores_are_in_single_precision_under_autocast(layer_call):
    call = layer_call('conditional')
    router = call.routed('layer').float().router
    query, position = call.query.float(), call.inputs['query_pos'].float()
    with torch.autocast('cpu', torch.bfloat16):
        found = router(query, position)
    assert torch.equal(found, router(query, position))


def test_parts_keep_their_names_and_only_the_router_is_new(host, layer_call):
    call = layer_call(host)
    theirs, ours = call.layer.state_dict(), call.routed('layer').state_dict()
    assert set(ours) - set(theirs) == {
        'router.projection.weight',
        'router.projection.bias',
    }
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_the_detector_tells_its_layers_how_many_queries_denoise():
    detector = build_host('dino', 'qr')
    batch = make_batch([1, 2])
    for expected in (8, 0):  # 2 groups of 2 objects, twice; none at test time
        if expected:
            run_loss(detector, batch)
        else:
            detector.eval()(**batch)
        for layer in detector.routed_layers:
            assert isinstance(layer, EEQRDecoderLayer)
            assert layer.num_denoising == expected
            assert layer.trace is None, 'a graph left behind would break deepcopy'


def test_layers_of_a_copied_detector_are_its_own():
    detector = build_host('conditional', 'qr')
    clone = copy.deepcopy(detector)
    clone.change_routing(policy=ForcedPolicy(0))
    for mine, theirs in zip(clone.routed_layers, detector.routed_layers, strict=True):
        assert isinstance(mine.settings.rules[mine.site], ForcedPolicy)
        assert not isinstance(theirs.settings.rules[mine.site], ForcedPolicy)
