"""One optimizer group for each setting: who has which, fused steps, mixed precision."""

import copy
import functools

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.optim.scheduler import CosineAnnealingLR
from mmengine.runner import Runner

from check_each import check_each
from leaves import LEAVES, PAPER_LEAVES, build, read
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.optim import merged_groups
from mmdet_qrpaq.optim.checkpoint_groups import CheckpointGroups
from tiny_hosts import build_host

CONSTRUCTOR = 'MergedOptimWrapperConstructor'
SLOWER = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)), norm_decay_mult=0.0)
SETTINGS = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4))


def wrapper(model, **settings):
    return build_optim_wrapper(model, copy.deepcopy(dict(SETTINGS, **settings)))


def by_parameter(optim_wrapper) -> dict[int, dict]:
    """Everything the optimizer knows of a parameter, but for how it takes a step."""
    return {
        id(parameter): {
            key: value for key, value in group.items() if key not in ('params', 'fused')
        }
        for group in optim_wrapper.optimizer.param_groups
        for parameter in group['params']
    }


def test_every_leaf_keeps_the_settings_of_every_parameter():
    def check(name):
        cfg, model = read(name).optim_wrapper, build(name)
        assert cfg.constructor == CONSTRUCTOR and cfg.optimizer.fused
        ours = build_optim_wrapper(model, copy.deepcopy(cfg))
        before = copy.deepcopy(cfg)
        del before['constructor']
        upstream = build_optim_wrapper(model, before)
        assert by_parameter(ours) == by_parameter(upstream)
        assert len(ours.optimizer.param_groups) <= 4 < len(upstream.param_groups)
        assert ours.get_lr()['base_lr'] == upstream.get_lr()['base_lr']
        assert ours.get_lr()['lr'][0] == upstream.get_lr()['lr'][0]

    check_each(check, [(name,) for name in PAPER_LEAVES])


def test_equal_groups_are_merged_in_the_order_of_their_first():
    a, b, c, d = (torch.nn.Parameter(torch.zeros(1)) for _ in range(4))
    merged = merged_groups.merge_equal(
        [
            dict(params=[a], lr=1.0),
            dict(params=[b]),
            dict(params=[c], lr=1.0),
            dict(params=[d], lr=1.0, betas=[0.5, 0.9]),
        ]
    )
    assert [[id(p) for p in group.pop('params')] for group in merged] == [
        [id(a), id(c)],
        [id(b)],
        [id(d)],
    ]
    assert merged == [dict(lr=1.0), {}, dict(lr=1.0, betas=[0.5, 0.9])]


@pytest.mark.parametrize('paramwise', [None, SLOWER])
def test_fused_where_there_is_a_fused_step(paramwise, monkeypatch):
    model = build_host('dino')
    fused = dict(SETTINGS['optimizer'], fused=True)
    settings = dict(constructor=CONSTRUCTOR, optimizer=fused, paramwise_cfg=paramwise)
    version = tuple(map(int, torch.__version__.split('.')[:2]))
    found = wrapper(model, **settings).optimizer.param_groups
    # On a CPU, fused optimizers came with 2.4.
    assert {bool(group['fused']) for group in found} == {version >= (2, 4)}
    monkeypatch.setattr(merged_groups, 'has_fused_step', lambda *_: False)
    found = wrapper(model, **settings).optimizer.param_groups
    assert {bool(group['fused']) for group in found} == {False}


def test_no_fused_step_on_a_device_or_of_an_optimizer_that_has_none():
    assert not merged_groups.has_fused_step('AdamW', torch.device('meta'))
    assert not merged_groups.has_fused_step('Adadelta', torch.device('cpu'))


def gradients(model):
    draw = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=draw)


@pytest.mark.skipif(
    not hasattr(torch.amp, 'GradScaler'), reason='torch scales on CUDA alone'
)
def test_mixed_precision_and_a_fused_step(monkeypatch):
    """The scaled step is the plain one; a step without numbers is left out."""
    scaler = functools.partial(torch.amp.GradScaler, 'cpu')
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', scaler)
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    results = []
    for kind, fused in (('OptimWrapper', None), ('AmpOptimWrapper', True)):
        model = build_host('dino')
        optim = wrapper(
            model,
            type=kind,
            constructor=CONSTRUCTOR,
            optimizer=dict(SETTINGS['optimizer'], fused=fused),
            paramwise_cfg=SLOWER,
            clip_grad=dict(max_norm=0.1, norm_type=2),
        )
        for bad in (False, True, False):
            gradients(model)
            trained = [p for p in model.parameters() if p.requires_grad]
            if kind == 'AmpOptimWrapper':
                optim.loss_scaler.scale(torch.ones(()))  # as a backward would
                for parameter in trained:
                    parameter.grad.mul_(optim.loss_scaler.get_scale())
                    if bad:
                        parameter.grad.fill_(float('inf'))
            elif bad:
                continue
            optim.step()
        results.append([p.detach().clone() for p in trained])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)


def resumed(saved, schedulers, model, **settings):
    """Loads a checkpoint as a runner does; returns wrapper and scheduler."""
    optim = wrapper(model, **settings)
    scheduler = CosineAnnealingLR(optim, T_max=10, by_epoch=False)
    runner = object.__new__(Runner)
    runner.model, runner.optim_wrapper, runner._resume = model, optim, True
    checkpoint = dict(optimizer=saved, param_schedulers=schedulers)
    CheckpointGroups().after_load_checkpoint(runner, checkpoint)
    optim.load_state_dict(checkpoint['optimizer'])
    scheduler.load_state_dict(checkpoint['param_schedulers'][0])
    return optim, scheduler


def go_on(model, optim, scheduler, steps=2):
    for _ in range(steps):
        gradients(model)
        optim.step()
        scheduler.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize('fused', [None, True])
def test_a_group_a_tensor_becomes_one_a_setting(fused):
    """Weights, moments and a schedule that starts from the rates of the groups."""
    model = build_host('dino')
    optim = wrapper(model, paramwise_cfg=SLOWER)
    scheduler = CosineAnnealingLR(optim, T_max=10, by_epoch=False)
    go_on(model, optim, scheduler)
    saved = copy.deepcopy(optim.state_dict())
    schedulers = [copy.deepcopy(scheduler.state_dict())]
    ours = copy.deepcopy(model)
    expected = go_on(model, optim, scheduler)
    merged = resumed(
        saved,
        schedulers,
        ours,
        constructor=CONSTRUCTOR,
        paramwise_cfg=SLOWER,
        optimizer=dict(SETTINGS['optimizer'], fused=fused),
    )
    found = go_on(ours, *merged)
    assert len(merged[0].optimizer.param_groups) < 10
    assert {group['fused'] for group in merged[0].optimizer.param_groups} == {fused}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    assert merged[0].get_lr()['base_lr'] == optim.get_lr()['base_lr']
    assert by_rate(ours, merged[0]) == pytest.approx(by_rate(model, optim))


def by_rate(model, optim) -> dict[str, float]:
    found = by_parameter(optim)
    named = model.named_parameters()
    return {name: found[id(p)]['lr'] for name, p in named if id(p) in found}


def test_all_in_one_group_has_no_base_rate_beside_it():
    model = build_host('dino')
    same = dict(custom_keys={'': dict(lr_mult=1.0)})  # a group a tensor, all equal
    old = wrapper(model, paramwise_cfg=same)
    assert len(old.optimizer.param_groups) > 100 and old.base_param_settings
    scheduler = CosineAnnealingLR(old, T_max=10, by_epoch=False)
    go_on(model, old, scheduler)
    saved, state = copy.deepcopy((old.state_dict(), scheduler.state_dict()))
    ours = copy.deepcopy(model)
    expected = go_on(model, old, scheduler)
    merged = resumed(saved, [state], ours, constructor=CONSTRUCTOR, paramwise_cfg=same)
    assert len(merged[0].param_groups) == 1
    for one, other in zip(go_on(ours, *merged), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ('before', 'after', 'sentence'),
    [
        # From merged groups to a group a tensor.
        (dict(constructor=CONSTRUCTOR), {}, 'has 3 groups of parameters'),
        # Other rates than those it was trained with.
        (
            {},
            dict(
                constructor=CONSTRUCTOR,
                paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=0.5))),
            ),
            'have different settings in the checkpoint',
        ),
    ],
)
def test_other_groups_are_refused_in_a_sentence(before, after, sentence):
    model = build_host('dino')
    first = dict(paramwise_cfg=SLOWER, **before)
    old = wrapper(model, **first)
    scheduler = CosineAnnealingLR(old, T_max=10, by_epoch=False)
    with pytest.raises(ConfigError, match=sentence):
        resumed(
            old.state_dict(),
            [scheduler.state_dict()],
            model,
            **{'paramwise_cfg': SLOWER, **after},
        )


@pytest.mark.parametrize(
    ('before', 'after', 'sentence'),
    [
        (SLOWER, dict(SLOWER, norm_decay_mult=None), 'has [0-9]+ groups'),
        ('neck', 'bbox_head', 'group 0 of the checkpoint.s optimizer holds'),
        # As many tensors, of other shapes.
        ('neck.convs.0', 'neck.convs.1', 'holds [0-9]+ parameters'),
    ],
)
def test_groups_without_a_config_are_compared_by_their_sizes(before, after, sentence):
    model = build_host('dino')
    paramwise = [
        dict(custom_keys={one: dict(lr_mult=0.1)}) if isinstance(one, str) else one
        for one in (before, after)
    ]
    old = wrapper(model, constructor=CONSTRUCTOR, paramwise_cfg=paramwise[0])
    gradients(model)
    old.step()
    scheduler = CosineAnnealingLR(old, T_max=10, by_epoch=False)
    with pytest.raises(ConfigError, match=sentence):
        resumed(
            old.state_dict(),
            [scheduler.state_dict()],
            model,
            constructor=CONSTRUCTOR,
            paramwise_cfg=paramwise[1],
        )


def test_small_leaves_need_no_groups():
    """They set no rate apart, which mmengine makes one group of."""
    for name in set(LEAVES) - set(PAPER_LEAVES):
        assert not read(name).optim_wrapper.get('paramwise_cfg')


MMLogger.get_current_instance().setLevel('ERROR')  # a line for each parameter


def test_one_group_of_all_is_resumed_with_what_is_frozen():
    """Without `paramwise_cfg` mmengine hands over frozen parameters as well."""
    model = build_host('dino')
    assert not all(p.requires_grad for p in model.parameters())
    optim = wrapper(model)
    gradients(model)
    optim.step()
    saved = copy.deepcopy(optim.state_dict())
    schedulers = [CosineAnnealingLR(optim, T_max=10, by_epoch=False).state_dict()]
    for settings in ({}, dict(constructor=CONSTRUCTOR)):
        merged, _ = resumed(copy.deepcopy(saved), schedulers, model, **settings)
        found = merged.state_dict()
        assert found['state'].keys() == saved['state'].keys()
        for key, state in saved['state'].items():
            assert torch.equal(found['state'][key]['exp_avg'], state['exp_avg'])


@pytest.mark.parametrize('resumes', [True, False])
def test_other_runs_are_left_alone(resumes):
    """A test has no optimizer yet; a start from weights has none in its file."""
    runner = object.__new__(Runner)
    runner._resume, runner.optim_wrapper = resumes, dict(type='OptimWrapper')
    checkpoint = dict(state_dict={})
    CheckpointGroups().after_load_checkpoint(runner, checkpoint)
    assert checkpoint == dict(state_dict={})
