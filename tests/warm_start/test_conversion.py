"""From a checkpoint of a host to one of a method: the same outputs where it can be."""

import copy
import re

import pytest
import torch
from mmengine.config import Config

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.warm_start.conversion import convert
from tiny_hosts import (
    MASKS,
    METHODS,
    PATTERNS,
    ROUTING,
    build,
    build_host,
    build_upstream,
    host_config,
    make_batch,
)

ZERO = ('conditional', 'dab')
MADE_OF_IMAGE = ('deformable_two_stage',)
# One for each query.
COMPLETE = dict(pattern_query=dict(PATTERNS, num_patterns=12))


def trained(host: str) -> torch.nn.Module:
    """Upstream's, with other numbers than those that training starts with."""
    model = build_upstream(host)
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=draw)
        parameter.data += 0.02 * noise
    return model.eval()


def converted(model: dict, checkpoint: dict) -> tuple[torch.nn.Module, list[str]]:
    cfg = Config(dict(model=copy.deepcopy(dict(model))))
    found, notes = convert(cfg, checkpoint, 'host.pth')
    target = build(copy.deepcopy(model), seed=5)
    target.load_state_dict(found['state_dict'])
    return target.eval(), notes


def outputs(model: torch.nn.Module) -> list[torch.Tensor]:
    with torch.no_grad():
        found = model(**make_batch([2, 3], [(64, 96), (48, 64)]))
    return [torch.as_tensor(x) for x in found]


def assert_same_outputs(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    # A model with masks has more to give, behind these.
    for mine, expected in zip(outputs(ours), outputs(theirs), strict=False):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('method', ['qr', 'qr_exit', 'qr_literal'])
def test_routing_starts_as_the_host(host, method):
    source = trained(host)
    weights = {f'module.{key}': x for key, x in source.state_dict().items()}
    target, notes = converted(host_config(host, **METHODS[method]), weights)
    assert_same_outputs(target, source)
    entered = [layer.entered for layer in target.routed_layers]
    assert len(entered) == 3 and all(enter.all() for enter in entered)
    classes, routing = notes
    assert classes == 'classes: 3 kept by their order, as no names tell'
    exact = 'routing: all queries enter each of the 3 layers, exact'
    # The default rule lets 0.69 of any scores like a bell enter.
    told = re.escape(exact) + (r'; but .* 6[6-9]% .*' if method == 'qr' else '')
    assert re.fullmatch(told, routing)
    if target.exit_heads is not None:
        heads, head = target.exit_heads.heads, target.bbox_head
        for layer, exit_head in enumerate(heads):
            mine = exit_head.fc_reg if hasattr(head, 'fc_reg') else None
            mine = mine or exit_head.reg_branches[0]
            theirs = getattr(head, 'fc_reg', None) or head.reg_branches[layer]
            for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize(
    ('changes', 'sites'),
    [
        (METHODS['qr_by_site']['query_routing'], 'layer, self_attn'),
        (dict(ROUTING, capacity=5), 'layer, self_attn, cross_attn'),
    ],
)
def test_a_rule_that_never_lets_all_enter_is_told(changes, sites):
    source = trained('dino')
    model = host_config('dino', query_routing=changes)
    target, notes = converted(model, source.state_dict())
    assert f'not exact, since the rule (or a capacity) at {sites} never' in notes[1]
    for layer in target.routed_layers:
        started_alike = not layer.router.projection.weight.any()
        assert started_alike == (layer.site not in sites)


def test_the_content_of_a_host_is_what_its_decoder_gets(host):
    ours = build_host(host).eval()
    seen = []
    ours.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs['query']), with_kwargs=True
    )
    outputs(ours)
    content = ours.host_content()
    assert (content is None) == (host in MADE_OF_IMAGE)
    if content is None:
        assert not torch.equal(seen[0][0], seen[0][1])
    else:
        assert torch.equal(seen[0], content.expand_as(seen[0]))
        assert content.any() == (host not in ZERO)


@pytest.mark.parametrize('options', [COMPLETE, METHODS['static']])
def test_with_enough_patterns_the_content_is_the_hosts(host, options):
    source = trained(host)
    target, notes = converted(host_config(host, **options), source.state_dict())
    if host in MADE_OF_IMAGE:
        assert 'not exact, since the host makes it of its proposals' in notes[1]
        return
    assert_same_outputs(target, source)
    if host in ZERO:
        assert notes[1] == 'content: zero in this host, and made so, exact'
    else:
        error = re.fullmatch(r'content: 12 .* relative error (\S+) \(Fro.*', notes[1])
        assert float(error[1]) < 1e-5


def test_what_too_few_patterns_leave_is_told():
    source = trained('dino')
    target, notes = converted(host_config('dino', **METHODS['p']), source.state_dict())
    wanted = source.query_embedding.weight
    generator = target.pattern_query_generator
    size = [(8, 8)] * 4
    with torch.no_grad():
        made = generator(torch.randn(1, 256, 256), size)[0]
        error = (made - wanted).norm() / wanted.norm()
    assert f'relative error {error:.2g} ' in notes[1]
    assert 0.3 < error < 0.8


def test_routing_and_patterns_together():
    source = trained('conditional')
    options = dict(query_routing=ROUTING, **METHODS['paq'])
    target, notes = converted(
        host_config('conditional', **options), source.state_dict()
    )
    assert_same_outputs(target, source)
    assert [note.partition(':')[0] for note in notes] == [
        *('classes', 'routing', 'content')
    ]


def test_methods_that_a_checkpoint_has_are_kept():
    routed = build(host_config('dino', **METHODS['qr']), seed=3).eval()
    model = host_config('dino', query_routing=ROUTING, **METHODS['static'])
    target, notes = converted(model, routed.state_dict())
    assert_same_outputs(target, routed)
    assert [note.partition(':')[0] for note in notes] == ['classes', 'content']


@pytest.mark.parametrize(
    ('option', 'settings'),
    [('hybrid_branch', dict(num_queries=20)), ('mask_branch', MASKS)],
)
def test_what_no_host_has_starts_from_nothing(option, settings):
    model = host_config('dino', **{option: settings}, **METHODS['q'])
    source = trained('dino')
    target, notes = converted(model, source.state_dict())
    assert_same_outputs(target, source)
    assert notes[1:] == [f'{option}: starts from nothing, the host has none']


def test_the_same_again():
    model = host_config('dino', mask_branch=MASKS, **METHODS['qrpaq'])
    one, two = (
        converted(model, trained('dino').state_dict())[0].state_dict() for _ in range(2)
    )
    assert list(one) == list(two)
    for key, value in one.items():
        assert torch.equal(value, two[key]), key


@pytest.mark.parametrize(
    ('source', 'words'),
    [
        ('deformable', 'does not fit the host of'),
        ('dab', 'give a checkpoint of that host'),
    ],
)
def test_a_checkpoint_of_another_host_is_refused(source, words):
    model = host_config('dino', **METHODS['qr'])
    with pytest.raises(ConfigError, match=words):
        converted(
            model,
            dict(
                state_dict=build_upstream(source).state_dict(),
                meta=dict(dataset_meta=dict(classes=('a', 'b', 'c'))),
            ),
        )


def test_other_numbers_of_queries_and_no_numbers_are_refused():
    weights = build_upstream('dino').state_dict()
    model = host_config('dino', **METHODS['p'])
    model['num_queries'] = 20
    shapes = r'query_embedding\.weight: \(12, 256\) instead of \(20, 256\)'
    with pytest.raises(ConfigError, match=shapes):
        converted(model, weights)
    weights['query_embedding.weight'][3, 4] = torch.nan
    with pytest.raises(ConfigError, match='NaN'):
        converted(host_config('dino', **METHODS['p']), weights)


@pytest.mark.parametrize('content', [dict(state_dict={}), dict(optimizer={})])
def test_no_weights_are_refused(content):
    with pytest.raises(ConfigError, match='holds no state_dict'):
        converted(host_config('dino', **METHODS['p']), content)
