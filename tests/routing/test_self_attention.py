"""The fused self-attention against mmcv's, which asks for weights nobody reads."""

import copy

import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention

from mmdet_qrpaq.routing.self_attention import SelfAttention, adopt
from reference.gradients import assert_same, gradients

BS, N, DIM, HEADS = 2, 7, 16, 4


def mmcv_attention(**options) -> MultiheadAttention:
    torch.manual_seed(0)
    part = MultiheadAttention(DIM, HEADS, batch_first=True, **options).double()
    torch.nn.init.normal_(part.attn.in_proj_bias)  # zero at first
    return part


def masks(kind: str) -> tuple:
    """A mask of ours, and the same as mmcv takes it."""
    if kind == 'none':
        return None, None
    drawn = torch.rand(BS, N, N, generator=torch.Generator().manual_seed(1)) < 0.5
    drawn.diagonal(dim1=1, dim2=2).fill_(False)
    if kind == 'shared':
        return drawn[0], drawn[0]
    if kind == 'added':
        drawn = torch.zeros(BS, N, N).masked_fill(drawn, -torch.inf).double()
    return drawn, drawn.repeat_interleave(HEADS, 0)


@pytest.mark.parametrize('kind', ['none', 'shared', 'own', 'added'])
def test_outputs_and_gradients_are_mmcvs(kind):
    part = mmcv_attention()
    ours = adopt(copy.deepcopy(part))
    assert isinstance(ours, SelfAttention)
    assert list(ours.state_dict()) == list(part.state_dict())
    draw = torch.Generator().manual_seed(2)
    query, position = torch.randn(2, BS, N, DIM, generator=draw, dtype=torch.double)
    mine, theirs = masks(kind)

    def attend(attention, mask):
        leaves = dict(position=position.clone().requires_grad_())
        return gradients(
            lambda query, inputs: attention(
                query=query,
                key=query,
                query_pos=inputs['position'],
                key_pos=inputs['position'],
                attn_mask=mask,
            ),
            attention,
            query.clone().requires_grad_(),
            leaves,
        )

    assert_same(attend(ours, mine), attend(part, theirs))


def test_dropout_is_the_hosts_in_training_alone():
    part = mmcv_attention(
        attn_drop=0.5, dropout_layer=dict(type='Dropout', drop_prob=0.5)
    )
    ours = adopt(copy.deepcopy(part))
    query, position = torch.randn(2, BS, N, DIM, dtype=torch.double)
    same = dict(query=query, key=query, query_pos=position, key_pos=position)
    first, second = ours(**same), ours(**same)
    assert not torch.equal(first, second)
    torch.testing.assert_close(ours.eval()(**same), part.eval()(**same))


@pytest.mark.parametrize('options', [dict(bias=False), dict(add_bias_kv=True)])
def test_attention_with_other_parts_stays_the_hosts(options):
    part = MultiheadAttention(DIM, HEADS, batch_first=True, **options)
    assert adopt(part) is part


def test_half_precision_takes_a_mask_of_single_precision():
    ours = adopt(mmcv_attention().float())
    query = torch.randn(BS, N, DIM)
    mask = torch.zeros(BS, N, N)
    with torch.autocast('cpu', torch.bfloat16):
        found = ours(query=query, query_pos=query, attn_mask=mask)
    torch.testing.assert_close(found, ours(query, query), rtol=0.1, atol=0.1)
