"""`frozen_parts`: what learns, in which mode it is, and that a run can be resumed."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.optim import CheckpointGroups
from tiny_hosts import METHODS, build, host_config, make_batch, run_loss, total_loss

FROZEN = ('backbone', 'encoder')
OPTIM = dict(
    constructor='MergedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1, fused=True),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)


def frozen(*parts: str, host: str = 'dino') -> torch.nn.Module:
    model = host_config(host, frozen_parts=parts, **METHODS['qr'])
    # As when it is fine-tuned from nothing: nothing of it is frozen by itself.
    model.backbone.update(
        frozen_stages=-1, norm_eval=False, norm_cfg=dict(type='BN', requires_grad=True)
    )
    return build(model)


def test_named_parts_stay_bit_for_bit_and_all_others_learn(host):
    model = frozen(*FROZEN, host=host)
    before = copy.deepcopy(model.state_dict())
    optim = build_optim_wrapper(model, copy.deepcopy(OPTIM))
    for seed in range(2):
        model.train()
        optim.update_params(total_loss(run_loss(model, make_batch([2, 1]), seed)))
    still = {
        key for key, x in model.state_dict().items() if torch.equal(x, before[key])
    }
    named = {key for key in before if key.startswith(('backbone.', 'encoder.'))}
    assert named <= still
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not learns & named
    for part in ('neck.', 'decoder.', 'bbox_head.'):
        assert any(key.startswith(part) for key in learns - still), part


def test_they_stay_in_evaluation_mode():
    model = frozen(*FROZEN)
    for mode in (True, False, True):
        model.train(mode)
        for name, part in model.named_children():
            expected = mode and name not in FROZEN
            assert all(m.training == expected for m in part.modules()), name


def test_nothing_frozen_is_as_ever():
    model = frozen()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(part.training for part in model.train().modules())


@pytest.mark.parametrize(
    ('parts', 'words'),
    [
        (['backbone', 'enc'], r"names 'enc': give a list of backbone, neck, .*encoder"),
        ('backbone', r"names 'backbone': give a list"),
        (['decoder.layers'], r"names 'decoder\.layers'"),
    ],
)
def test_other_names_are_refused(parts, words):
    with pytest.raises(ConfigError, match=words):
        build(host_config('dino', frozen_parts=parts))


def test_one_part_must_be_left():
    model = build(host_config('conditional'))
    parts = [name for name, part in model.named_children() if [*part.parameters()]]
    with pytest.raises(ConfigError, match='nothing is left to train'):
        build(host_config('conditional', frozen_parts=parts))


def resume(model: torch.nn.Module, checkpoint: dict) -> None:
    optim = build_optim_wrapper(model, copy.deepcopy(OPTIM))
    runner = object.__new__(Runner)
    runner.model, runner.optim_wrapper, runner._resume = model, optim, True
    CheckpointGroups().after_load_checkpoint(runner, checkpoint)
    optim.load_state_dict(checkpoint['optimizer'])


def test_a_run_is_resumed_with_the_same_parts_only():
    model = frozen('encoder')
    optim = build_optim_wrapper(model, copy.deepcopy(OPTIM))
    optim.update_params(total_loss(run_loss(model, make_batch([2, 1]))))
    saved = optim.state_dict()
    resume(model, dict(optimizer=copy.deepcopy(saved)))
    for parts in ((), ('encoder', 'neck')):
        with pytest.raises(
            ConfigError, match=r'model\.frozen_parts \(--freeze\) it was'
        ):
            resume(frozen(*parts), dict(optimizer=copy.deepcopy(saved)))
