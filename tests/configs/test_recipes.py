"""The leaves train as the papers say, and route as the code does by default."""

import copy
import functools
import re

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmdet_qrpaq.routing.router import Router
from mmdet_qrpaq.routing.settings import RoutingSettings
from tiny_hosts import REPOSITORY

CONFIGS = REPOSITORY / 'configs'
QR_HOSTS = ('deformable_detr', 'conditional_detr', 'dab_detr')


@functools.cache
def read(name: str) -> Config:
    """A config, not to change."""
    return Config.fromfile(CONFIGS / f'{name}.py')


@pytest.mark.parametrize('name, epochs, milestone', [('12e', 12, 11), ('24e', 24, 20)])
def test_the_recipe_of_paq_detr_section_4_1(name, epochs, milestone):
    cfg = read(f'paq_dino_r50_{name}')
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.optim_wrapper.optimizer.lr == 2e-4
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.train_dataloader.batch_size == 2  # on 8 devices: 16
    assert cfg.train_cfg.max_epochs == epochs
    (scheduler,) = cfg.param_scheduler
    assert scheduler.milestones == [milestone] and scheduler.gamma == 0.1
    assert scheduler.end == epochs

    model = cfg.model
    assert model.num_queries == 900
    assert model.pattern_query.num_patterns == 150
    assert model.pattern_query.diversity_weight == 0.2
    assigner = model.bbox_head.quality.assigner
    assert (assigner.candidate_topk, assigner.min_positives) == (4, 1)
    assert assigner.confidence_weight == 0.4
    assert model.bbox_head.quality.layers == 'intermediate'


@pytest.mark.parametrize('host', QR_HOSTS)
def test_the_recipe_of_qr_detr_section_5_1(host):
    cfg = read(f'qr_{host}_r50_12e')
    assert cfg.model.num_queries == 300
    assert cfg.train_dataloader.batch_size == 1  # on 8 devices: 8
    assert cfg.auto_scale_lr.base_batch_size == 8
    assert cfg.train_cfg.max_epochs == cfg.max_epochs == 12
    (scheduler,) = cfg.param_scheduler
    assert (scheduler.type, scheduler.by_epoch) == ('MultiStepLR', True)
    assert (scheduler.milestones, scheduler.gamma) == ([11], 0.1)

    losses = cfg.model.bbox_head
    assert losses.loss_cls.type == 'FocalLoss'
    assert (losses.loss_bbox.type, losses.loss_iou.type) == ('L1Loss', 'GIoULoss')

    choice = cfg.train_dataloader.dataset.pipeline[3]
    assert choice.type == 'RandomChoice'
    for *_, resize in choice.transforms:
        assert resize.type == 'RandomChoiceResize' and resize.keep_ratio
        assert {max(scale) for scale in resize.scales} == {1333}
        short = [min(scale) for scale in resize.scales]
        assert (min(short), max(short)) == (480, 800)


@pytest.mark.parametrize('host', QR_HOSTS)
def test_the_learning_rates_of_qr_detr_section_5_1(host):
    cfg = read(f'qr_{host}_r50_12e')
    with torch.device('meta'):
        detector = MODELS.build(copy.deepcopy(cfg.model))
    optimizer = build_optim_wrapper(
        detector, copy.deepcopy(cfg.optim_wrapper)
    ).optimizer
    assert type(optimizer).__name__ == 'AdamW'
    rates = {
        id(parameter): group['lr']
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    # The last two are upstream's, of Deformable-DETR alone.
    slow = r'^backbone\.|sampling_offsets|reference_points_fc'
    if host != 'deformable_detr':
        slow = r'^backbone\.'
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            expected = 1e-5 if re.search(slow, name) else 1e-4
            assert rates[id(parameter)] == pytest.approx(expected), name


def test_the_default_routing_is_that_of_the_code():
    eeqr = read('_base_/methods').eeqr
    written = RoutingSettings.from_config(eeqr, 300, 6)
    default = RoutingSettings.from_config({}, 300, 6)
    for name, value in vars(default).items():
        if name not in ('policy', 'router', 'schedule'):
            assert getattr(written, name) == value, name
    assert type(written.policy) is type(default.policy)
    assert vars(written.policy) == vars(default.policy)
    ours, theirs = Router(4, **written.router), Router(4, **default.router)
    assert (ours.router_input, ours.init) == (theirs.router_input, theirs.init)


def test_the_literal_routing_is_the_papers():
    methods = read('_base_/methods')
    literal = dict(policy=dict(type='ThresholdPolicy'), gradient='exit_head')
    assert methods.eeqr_literal == dict(methods.eeqr, **literal)
