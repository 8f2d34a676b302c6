"""The cost of every row: what is compared with what, and the table beside the paper."""

import json

import pytest
from mmengine.config import Config

from benchmarks import cost, cost_table
from leaves import PAPER_LEAVES, read


@pytest.mark.parametrize(
    ('name', 'host'),
    [
        ('dino_r50_12e', None),
        ('paq_dino_r50_12e', 'dino_r50_12e'),
        ('paq_dino_r50_24e', 'dino_r50_24e'),
        ('qrpaq_dino_r50_12e', 'dino_r50_12e'),
        ('paq_dino_r50_12e_50_patterns', 'dino_r50_12e'),
        ('paq_dn_deformable_detr_r50_900q_12e', 'dn_deformable_detr_r50_900q_12e'),
        ('qr_conditional_detr_r50_12e', 'conditional_detr_r50_12e'),
        ('paq_dino_r101_12e', None),
    ],
)
def test_each_row_is_compared_with_its_host(name, host):
    assert cost.host_of(name, cost.paper_leaves()) == host


def model(**changes) -> Config:
    parts = dict(
        type='QRPaQDINO',
        num_queries=900,
        backbone=dict(type='ResNet', depth=50, init_cfg='a'),
        bbox_head=dict(type='DINOHead', num_classes=80, loss_cls=1, quality=2),
        dn_cfg=dict(label_noise_scale=0.5),
        train_cfg=dict(assigner=3),
    )
    return Config(dict(model={**parts, **changes}))


@pytest.mark.parametrize(
    ('changes', 'alike'),
    [
        (dict(train_cfg=None), True),
        (dict(bbox_head=dict(type='DINOHead', num_classes=80)), True),
        (dict(bbox_head=dict(type='DINOHead', num_classes=3)), False),
        (dict(backbone=dict(type='ResNet', depth=50)), True),
        (dict(backbone=dict(type='ResNet', depth=18)), False),
        (dict(dn_cfg=None), False),
        (dict(num_queries=300), False),
    ],
)
def test_only_training_may_differ_between_models_counted_once(changes, alike):
    before = model()
    key = cost.inference_key(before)
    assert (cost.inference_key(model(**changes)) == key) is alike
    assert 'train_cfg' in before.model and 'init_cfg' in before.model.backbone


def test_counting_is_done_once_for_each_model(monkeypatch):
    leaves = {
        name: cost.paper_leaves()[name]
        for name in ('dino_r50_12e', 'dino_r50_24e', 'paq_dino_r50_12e')
    }
    seen = []

    class Counted:
        def as_dict(self) -> dict:
            return dict(params=len(seen))

    def count(config, shape):
        seen.append(shape)
        return Counted()

    monkeypatch.setattr(
        'mmdet_qrpaq.analysis.cost.complexity.detector_complexity', count
    )
    rows = cost.count(leaves, (4, 5))
    assert seen == [(4, 5)] * 2
    assert rows['dino_r50_24e']['counted'] == rows['dino_r50_12e']['counted']
    assert rows['paq_dino_r50_12e']['counted'] == dict(params=2)
    assert rows['paq_dino_r50_12e']['host'] == 'dino_r50_12e'


def test_the_table_by_hand(monkeypatch):
    def row(name: str, host: str | None, params: int, training: int, flops: int):
        counted = dict(params=params, training_params=training, flops=flops)
        return dict(config=f'configs/{name}.py', host=host, counted=counted)

    result = dict(
        settings=dict(shape=[800, 1333]),
        environment=dict(
            versions=dict(torch='2'), date='today', commit='abc', dirty=True
        ),
        measured={
            'paq_dino_r50_12e': row(
                'paq_dino_r50_12e', 'dino_r50_12e', 55_000_000, 0, 440 * 10**9
            ),
            'dino_r50_12e': row('dino_r50_12e', None, 51_000_000, 10**6, 400 * 10**9),
        },
    )
    monkeypatch.setattr(cost_table, 'load', lambda: result)
    table = cost_table.rows_table().splitlines()
    assert table[2] == (
        '| [dino_r50_12e](../configs/dino_r50_12e.py) | 50.00 | 200.0 | '
        ' |  | 42 | 196 |'
    )
    assert table[3] == (
        '| [paq_dino_r50_12e](../configs/paq_dino_r50_12e.py) | 55.00 | 220.0 | '
        '+5.000 (+10.0 %) | +20.0 (+10.0 %) | 43.8 | 205 |'
    )
    assert '800 x 1333' in table[-1] and 'commit abc with changes' in table[-1]
    pair = cost_table.pair_table().splitlines()
    assert pair[2] == (
        '| parameters, M | 42.0 | 43.8 | +1.80 (+4.3 %) | 50.0 | 55.0 | '
        '+5.00 (+10.0 %) |'
    )


def test_every_paper_row_has_been_counted():
    rows = json.loads(cost_table.ROWS.read_text())['measured']
    assert sorted(rows) == sorted(PAPER_LEAVES), 'run python benchmarks/cost.py'
    for name, row in rows.items():
        assert cost.inference_key(read(name)) == row['key'], name
    # PaQ-DETR Table 7: less than +5 % FLOPs, +1.8 M parameters.
    ours, host = (
        cost_table.numbers_of(rows[name]['counted'])
        for name in ('paq_dino_r50_12e', 'dino_r50_12e')
    )
    assert 0 < ours[0] - host[0] <= 1.9 and 1 < ours[1] / host[1] <= 1.05
