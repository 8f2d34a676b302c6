"""Attention without weights against mmcv's block."""

import copy
import warnings

import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention

from mmdet_qrpaq.ops import FusedAttention, set_fused_attention
from mmdet_qrpaq.ops.fused_attention import unseen_keys
from reference.gradients import assert_same, gradients
from tiny_hosts import (
    ROUTING,
    build,
    host_config,
    make_batch,
    run_loss,
    total_loss,
    without_dropout,
)

BS, N, DIM, HEADS = 2, 7, 16, 4
ROUTED = dict(query_routing=ROUTING)


def mmcv_attention(**options) -> MultiheadAttention:
    torch.manual_seed(0)
    # mmcv's default is one dict for all, which `dropout=` of another block changes.
    options = dict(dropout_layer=dict(type='Dropout', drop_prob=0.0)) | options
    part = MultiheadAttention(DIM, HEADS, batch_first=True, **options).double()
    if part.attn.in_proj_bias is not None:
        torch.nn.init.normal_(part.attn.in_proj_bias)  # zero at first
    return part


def fused(part: MultiheadAttention) -> MultiheadAttention:
    part = copy.deepcopy(part)
    set_fused_attention(part)
    return part


def draw(*shape: int, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.double)


def denoising_mask() -> torch.Tensor:
    """Two groups of denoising queries and three that none of them may help."""
    mask = torch.zeros(N, N, dtype=torch.bool)
    mask[4:, :4] = mask[:2, 2:4] = mask[2:4, :2] = True
    return mask


def masks(kind: str) -> dict:
    """What mmcv's block is given."""
    blocked = draw(BS, N, N) < 0
    blocked[..., 0] = False  # nobody sees nothing
    each_head = blocked.repeat_interleave(HEADS, 0)
    padding = torch.arange(N) >= torch.tensor([[5], [7]])
    return dict(
        none={},
        shared=dict(attn_mask=blocked[0]),
        denoising=dict(attn_mask=denoising_mask()),
        each_head=dict(attn_mask=each_head),
        added=dict(
            attn_mask=torch.zeros(BS * HEADS, N, N).double() - 9 * each_head.double()
        ),
        padding=dict(key_padding_mask=padding),
        both=dict(attn_mask=blocked[0], key_padding_mask=padding),
        mixed=dict(
            attn_mask=torch.zeros(N, N).double() - 9 * blocked[0].double(),
            key_padding_mask=padding,
        ),
    )[kind]


def attend(attention, given: dict, keys: bool):
    leaves = dict(position=draw(BS, N, DIM, seed=3).requires_grad_())
    if keys:
        leaves['key'] = draw(BS, N, DIM, seed=4).requires_grad_()
    return gradients(
        lambda query, inputs: attention(
            query=query,
            key=inputs.get('key', query),
            query_pos=inputs['position'],
            key_pos=inputs['position'],
            **given,
        ),
        attention,
        draw(BS, N, DIM).requires_grad_(),
        leaves,
    )


@pytest.mark.parametrize('keys', [False, True], ids=['self', 'cross'])
@pytest.mark.parametrize(
    'kind',
    'none shared denoising each_head added padding both mixed'.split(),
)
def test_outputs_and_gradients_are_mmcvs(kind, keys):
    part = mmcv_attention()
    ours = fused(part)
    assert type(ours) is FusedAttention
    assert list(ours.state_dict()) == list(part.state_dict())
    given = masks(kind)
    assert_same(attend(ours, given, keys), attend(part, given, keys))


def test_one_mask_an_image_is_one_for_each_of_its_heads():
    ours, mask = fused(mmcv_attention()), masks('each_head')['attn_mask']
    one = dict(attn_mask=mask[::HEADS])
    assert_same(attend(ours, one, False), attend(ours, dict(attn_mask=mask), False))


def test_keys_that_no_later_query_sees_are_counted():
    assert unseen_keys(denoising_mask()) == 4
    assert unseen_keys(denoising_mask().expand(3, -1, -1)) == 4
    several = torch.stack((denoising_mask(), torch.zeros(N, N).bool()))
    assert unseen_keys(several) == 0  # an image whose queries see all
    assert unseen_keys(torch.zeros(N, N).bool()) == 0
    assert unseen_keys(torch.ones(N, N).bool()) == 0
    seen = denoising_mask()
    seen[5, 1] = False
    assert unseen_keys(seen) == 0
    assert unseen_keys(denoising_mask()[:, :5]) == 0
    assert unseen_keys(denoising_mask().double()) == 0


def call(attention, **given) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of old names, and of keys without a position
        return attention(draw(BS, N, DIM), **given)


def test_what_is_not_plain_self_attention_is_done_as_mmcv_does():
    part = mmcv_attention()
    ours, other = fused(part), draw(BS, N, DIM, seed=5)
    for given in (
        dict(residual=other),
        dict(identity=other),
        dict(query_pos=other[:1]),  # of the keys, too, only if it has their shape
        dict(query_pos=other[0]),
        dict(query_pos=other[:1], key_pos=other[:1]),
        dict(key_pos=other),
        dict(query_pos=other, key_pos=other[:1]),
    ):
        torch.testing.assert_close(call(ours, **given), call(part, **given))
    nothing = draw(BS, 0, DIM)
    mask = torch.zeros(0, 0, dtype=torch.bool)
    assert ours(nothing, attn_mask=mask).shape == nothing.shape
    with pytest.raises(AssertionError, match='only bool and floating'):  # torch's
        call(ours, attn_mask=torch.zeros(N, N, dtype=torch.uint8))


def test_a_query_that_may_see_nothing_is_no_nan():
    mask = torch.zeros(N, N, dtype=torch.bool)
    mask[2] = True
    part = mmcv_attention()
    assert call(part, attn_mask=mask)[:, 2].isnan().all()
    assert call(fused(part), attn_mask=mask).isfinite().all()


def test_dropout_is_the_hosts_in_training_alone():
    part = mmcv_attention(
        attn_drop=0.5, dropout_layer=dict(type='Dropout', drop_prob=0.5)
    )
    ours = fused(part)
    query, position = draw(2, BS, N, DIM)
    same = dict(query=query, key=query, query_pos=position, key_pos=position)
    first, second = ours(**same), ours(**same)
    assert not torch.equal(first, second)
    torch.testing.assert_close(ours.eval()(**same), part.eval()(**same))


@pytest.mark.parametrize('options', [dict(bias=False), dict(add_bias_kv=True)])
def test_attention_with_other_parts_stays_mmcvs(options):
    part = mmcv_attention(**options)
    set_fused_attention(part)
    assert type(part) is MultiheadAttention


def test_half_precision_takes_a_mask_of_single_precision():
    ours = fused(mmcv_attention().float())
    query = draw(BS, N, DIM).float()
    mask = torch.zeros(BS, N, N)
    with torch.autocast('cpu', torch.bfloat16):
        found = ours(query=query, query_pos=query, attn_mask=mask)
    torch.testing.assert_close(
        found, ours(query=query, query_pos=query), rtol=0.1, atol=0.1
    )


@pytest.mark.parametrize('name', ['dino', 'conditional'])
def test_a_routed_detector_takes_either(name):
    def train(**options):
        torch.manual_seed(0)
        detector = without_dropout(build(host_config(name, **ROUTED, **options)))
        return detector, float(total_loss(run_loss(detector, make_batch([2, 3]))))

    (detector, fused_loss), (_, plain) = train(), train(fused_attention=False)
    assert plain == pytest.approx(fused_loss, rel=1e-5)
    set_fused_attention(detector, False)
    run_loss(detector, make_batch([2, 3]))
    set_fused_attention(detector)
    run_loss(detector, make_batch([2, 3]))


def test_a_detector_has_it_unless_its_config_says_otherwise():
    def kinds(**options):
        detector = build(host_config('dino', **options))
        return {type(layer.self_attn) for layer in detector.decoder.layers}

    assert kinds() == {FusedAttention}
    assert kinds(fused_attention=False) == {MultiheadAttention}
    detector = build(host_config('dino'))
    set_fused_attention(detector, False)
    set_fused_attention(detector)
    assert type(detector.decoder.layers[0].self_attn) is FusedAttention
