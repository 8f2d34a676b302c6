"""Bad settings of query routing stop when the detector is built, with one sentence."""

import dataclasses
import math

import pytest
import torch
from mmdet.registry import MODELS

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.routing import (
    RoutingSettings,
    StandardizedPolicy,
    TopSharePolicy,
)
from tiny_hosts import (
    NUM_QUERIES,
    ROUTING,
    ForcedPolicy,
    build,
    build_host,
    host_config,
    make_batch,
)

# The decoder of the tiny hosts has three layers.
NUM_LAYERS = 3


def settings(**config) -> RoutingSettings:
    return RoutingSettings.from_config(config, NUM_QUERIES, NUM_LAYERS)


RULE = dict(type='ThresholdPolicy')
BAD = [
    (dict(shedule=['layer']), "no setting 'shedule'"),
    (dict(num_queries=5), "no setting 'num_queries'"),
    (dict(schedule=['layer', 'ffn', 'layer']), "names the site 'ffn'"),
    (dict(schedule=[0, 1, 2]), 'names the site 0'),
    (dict(schedule='layer'), "schedule is 'layer'"),
    (dict(schedule=None), 'schedule is None'),
    (dict(schedule=[]), 'has 0 sites'),
    (dict(schedule=['layer', 'self_attn']), 'has 2 sites'),
    (dict(schedule=['layer'] * 4), 'has 4 sites'),
    (dict(ffn_scope='none'), "ffn_scope is 'none'"),
    (dict(gradient='hard'), "gradient is 'hard'"),
    (dict(exit_input='score'), "exit_input is 'score'"),
    (dict(exit_teaches='decoder'), "exit_teaches is 'decoder'"),
    (dict(supervise='bypassed'), "supervise is 'bypassed'"),
    (dict(bypassed_boxes='moved'), "bypassed_boxes is 'moved'"),
    (dict(executor='sparse'), "executor is 'sparse'"),
    (dict(regroup='sum'), "regroup is 'sum'"),
    (dict(executor=['gather']), "executor is ['gather']"),
    (dict(at_least=1.1), 'at_least is 1.1'),
    (dict(at_least=None), 'at_least is None'),
    (dict(capacity=NUM_QUERIES + 1), 'capacity is 13'),
    (dict(capacity=0), 'capacity is 0'),
    (dict(capacity=-1), 'capacity is -1'),
    (dict(capacity=0.0), 'capacity is 0.0'),
    (dict(capacity=1.5), 'capacity is 1.5'),
    (dict(capacity=True), 'capacity is True'),
    (dict(capacity=math.nan), 'capacity is nan'),
    (dict(capacity='half'), "capacity is 'half'"),
    (dict(policy=dict(type='StandardizedPolicy', threshold=4)), 'threshold is 4'),
    (dict(policy=dict(type='StandardizedPolicy', threshold=None)), 'threshold is None'),
    (dict(policy=dict(type='TopSharePolicy', share=0)), 'share is 0'),
    (dict(policy=dict(type='TopSharePolicy', share=1.01)), 'share is 1.01'),
    (dict(policy=dict(type='TopSharePolicy', share=math.nan)), 'share is nan'),
]
# The parts that are built from settings of their own.
BAD_PARTS = [
    (dict(router=dict(init='zeros')), "router.init is 'zeros'"),
    (dict(router=dict(router_input='position')), "router.router_input is 'position'"),
    (dict(router=dict(inits='enter')), "router has no setting 'inits'"),
    (dict(router=dict(embed_dims=128)), "router has no setting 'embed_dims'"),
    (dict(router='enter'), "router is 'enter'"),
    (dict(policy=dict(type='Threshold')), 'Threshold is not in the'),
    (dict(policy=dict(threshold=0)), 'must contain the key "type"'),
    (dict(policy=dict(type='ThresholdPolicy', share=1)), 'takes no arguments'),
    (dict(policy=dict(type='TopSharePolicy', top=1)), "argument 'top'"),
    (dict(policy='ThresholdPolicy'), "policy is 'ThresholdPolicy'"),
    (dict(policy=None), 'policy is None'),
    (
        dict(policy=dict(layer=RULE, self_attn=RULE)),
        "policy has no rule for the site 'cross_attn' of the schedule",
    ),
    (dict(policy=dict(layer=RULE, sa=RULE)), "policy has no setting 'sa'"),
    (
        dict(policy=dict(layer=RULE, self_attn=RULE, cross_attn=dict(type='Rule'))),
        "policy.cross_attn is {'type': 'Rule'}",
    ),
    (dict(policy=dict(layer=RULE), schedule=['layer', 'ffn', 'layer']), "site 'ffn'"),
]
BAD_AT_START = BAD[::5] + BAD_PARTS


def assert_one_clear_sentence(error: ConfigError, says: str) -> None:
    text = str(error)
    assert text.startswith('query_routing') and says in text, text
    assert '\n' not in text and text.endswith('.'), text


@pytest.mark.parametrize(('config', 'says'), BAD, ids=[says for _, says in BAD])
def test_bad_settings(config, says):
    with pytest.raises(ConfigError) as error:
        settings(**config)
    assert_one_clear_sentence(error.value, says)


@pytest.mark.parametrize(
    ('config', 'says'), BAD_AT_START, ids=[says for _, says in BAD_AT_START]
)
def test_bad_settings_stop_the_detector(config, says):
    model = host_config('conditional', query_routing=config)
    with pytest.raises(ConfigError) as error:
        MODELS.build(model)
    assert_one_clear_sentence(error.value, says)


def test_capacity_counts_every_query_that_dab_detr_decodes():
    """It may repeat its anchors, which `num_queries` does not say."""
    model = host_config('dab', query_routing=dict(capacity=0.5))
    model.num_patterns = 3
    detector = MODELS.build(model)
    (slots,) = {layer.settings.slots for layer in detector.routed_layers}
    assert slots == round(1.5 * model.num_queries)


def test_a_bias_is_refused_where_it_has_no_effect():
    with pytest.raises(ConfigError, match="use init='random' or a ThresholdPolicy"):
        RoutingSettings.from_config(dict(router=dict(init='enter')), 300, 6)


@pytest.mark.parametrize(
    ('schedule', 'sites'),
    [
        (['layer'], ('layer',) * 3),
        (('cross_attn',), ('cross_attn',) * 3),
        (['layer', 'self_attn', 'cross_attn'], ('layer', 'self_attn', 'cross_attn')),
    ],
)
def test_the_schedule_repeats_over_the_decoder(schedule, sites):
    assert settings(schedule=schedule).sites == sites
    twice = RoutingSettings.from_config(dict(schedule=schedule), NUM_QUERIES, 6)
    assert twice.sites == sites * 2


@pytest.mark.parametrize(
    ('capacity', 'queries'),
    [(None, None), (1, 1), (12, 12), (1.0, 12), (0.5, 6), (0.51, 7), (0.001, 1)],
)
def test_capacity_counts_queries(capacity, queries):
    assert settings(capacity=capacity).slots == queries


def test_a_share_of_whole_queries_is_not_rounded_up():
    """0.28 * 300 is a little more than 84 in floating point."""
    assert RoutingSettings.from_config(dict(capacity=0.28), 300, 3).slots == 84


def test_defaults_are_the_paper_s_schedule_and_a_rule_per_image():
    chosen = settings()
    assert chosen.sites == ('layer', 'self_attn', 'cross_attn')
    assert isinstance(chosen.rules['layer'], StandardizedPolicy)
    assert chosen.rules['layer'].threshold == -0.5
    assert chosen.slots is None


def test_settings_reach_the_layers():
    detector = build(
        host_config(
            'conditional',
            query_routing=dict(
                schedule=['cross_attn'],
                policy=dict(type='TopSharePolicy', share=0.25),
                router=dict(init='enter', router_input='content'),
                capacity=0.5,
            ),
        )
    )
    assert [layer.site for layer in detector.routed_layers] == ['cross_attn'] * 3
    for layer in detector.routed_layers:
        assert isinstance(layer.settings.rules['cross_attn'], TopSharePolicy)
        assert layer.settings.rules['cross_attn'].share == 0.25
        assert layer.settings.slots == 6
        # Also after the host has initialised all under its decoder.
        assert layer.router.projection.weight.abs().max() == 0
        assert layer.router.projection.bias.tolist() == [1, 0]
        assert layer.router.router_input == 'content'


def test_a_rule_by_site():
    share = dict(type='TopSharePolicy', share=0.5)
    rules = dict(layer=share, self_attn=ForcedPolicy(1.0), cross_attn=RULE)
    detector = build(
        host_config('conditional', query_routing=dict(policy=rules))
    ).eval()
    with torch.no_grad():
        detector(**make_batch([0, 0]))
    whole, self_attn, _ = (layer.entered for layer in detector.routed_layers)
    assert whole.sum(1).tolist() == [6, 6] and self_attn[0].all()
    used = settings(policy=rules, schedule=['cross_attn']).rules
    assert list(used) == ['cross_attn'], 'sites without a layer need no rule, nor harm'


def test_a_bias_is_refused_where_it_has_no_effect_on_one_site():
    policy = dict(
        layer=RULE, self_attn=RULE, cross_attn=dict(type='StandardizedPolicy')
    )
    with pytest.raises(ConfigError, match="use init='random' or a ThresholdPolicy"):
        settings(policy=policy, router=dict(init='enter'))
    settings(policy=policy, router=dict(init='enter'), schedule=['layer'])


@pytest.mark.parametrize(
    ('executor', 'capacity', 'device', 'dense'),
    [
        ('auto', None, 'cpu', False),
        ('auto', None, 'cuda', True),
        ('auto', 4, 'cuda', False),  # nothing waits, and less work was asked for
        ('gather', None, 'cuda', False),
        ('dense', 4, 'cpu', True),
    ],
)
def test_where_all_queries_run(executor, capacity, device, dense):
    found = settings(executor=executor, capacity=capacity)
    assert found.runs_dense(torch.device(device)) is dense


def test_settings_never_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().ffn_scope = 'all'


@pytest.mark.parametrize(
    'changes',
    [
        dict(capacity=0.5),
        dict(ffn_scope='all'),
        dict(regroup='concat'),
        dict(policy=dict(type='TopSharePolicy', share=0.25)),
        dict(policy=ForcedPolicy(0.3), executor='dense', capacity=2),
        dict(
            policy=dict(
                layer=RULE, self_attn=RULE, cross_attn=dict(type='TopSharePolicy')
            )
        ),
    ],
    ids=lambda changes: ', '.join(changes),
)
def test_a_built_model_changes_as_if_built_anew(changes):
    detector = build_host('conditional', 'qr').eval()
    anew = build(host_config('conditional', query_routing=ROUTING | changes)).eval()
    batch = make_batch([0])
    with torch.no_grad():
        before = detector(**batch)[0]
        detector.change_routing(**changes)
        found, expected = detector(**batch)[0], anew(**batch)[0]
    assert torch.equal(found, expected) and not torch.equal(found, before)


@pytest.mark.parametrize(
    'changes',
    [
        dict(schedule=['layer']),
        dict(router=dict(router_input='content')),
        dict(gradient='exit_head'),
        dict(exit_input='scores'),
        dict(supervise='entering'),
        dict(bypassed_boxes='kept'),
    ],
    ids=lambda changes: ', '.join(changes),
)
def test_what_parts_are_built_of_cannot_change(changes):
    detector = build_host('conditional', 'qr')
    with pytest.raises(ConfigError) as error:
        detector.change_routing(**changes)
    (name,) = changes
    assert_one_clear_sentence(error.value, f'{name} cannot change on a model')


@pytest.mark.parametrize(
    ('method', 'changes', 'says'),
    [
        ('qr', dict(capasity=3), "query_routing has no setting 'capasity'"),
        ('qr', dict(num_queries=5), "query_routing has no setting 'num_queries'"),
        ('none', dict(capacity=3), 'query_routing is not in the config'),
    ],
)
def test_changes_that_change_nothing_are_refused(method, changes, says):
    with pytest.raises(ConfigError) as error:
        build_host('conditional', method).change_routing(**changes)
    assert_one_clear_sentence(error.value, says)


def test_bad_changes_are_refused_like_bad_settings():
    detector = build_host('conditional', 'qr')
    with pytest.raises(ConfigError) as error:
        detector.change_routing(capacity=NUM_QUERIES + 1)
    assert_one_clear_sentence(error.value, 'capacity is 13')
