"""Presets change a config, keep what is in it, and refuse what cannot work."""

import argparse
import copy
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config

import prepare
from check_each import check_each
from data_folders import CLASSES, yolo_roboflow
from mmdet_qrpaq.data.options import RunOptions, add_training_options
from mmdet_qrpaq.data.plan import apply_options
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.presets import loggers
from mmdet_qrpaq.presets.applying import apply_presets
from mmdet_qrpaq.presets.catalogue import PRESETS, read_preset
from mmdet_qrpaq.runtime.configs import read_config
from tiny_hosts import REPOSITORY
from tiny_runs import CONFIG

LEAVES = sorted((REPOSITORY / 'configs').glob('*.py'))
SAVING = 'default_hooks.checkpoint.'


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    """The tiny config, with its EMAHook."""
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.format(classes=('a', 'b'), root='/nowhere'))
    return read_config(str(path))


def types(cfg: Config) -> list[str]:
    return [hook['type'] for hook in cfg.custom_hooks]


def test_a_line_of_the_config_and_the_command_line(cfg):
    """Both count; the command line's number goes before."""
    cfg.presets = ['ema=0.5', 'early_stopping']
    cfg.custom_hooks = [dict(type='QueryRoutingHook'), *cfg.custom_hooks]
    decided = apply_presets(cfg, ['ema=0.001', 'tensorboard'])
    assert types(cfg) == ['QueryRoutingHook', 'EMAHook', 'EarlyStoppingHook']
    assert cfg.custom_hooks[1].ema_type == 'ExpMomentumEMA'
    assert cfg.custom_hooks[1].momentum == 0.001
    kinds = [backend.type for backend in cfg.visualizer.vis_backends]
    assert kinds == ['LocalVisBackend', 'TensorboardVisBackend']
    assert [d.why for d in decided] == [
        f'preset {name}' for name in ('ema', 'early_stopping', 'tensorboard')
    ]
    # What is written of it is the run: nothing is applied a second time.
    before = cfg.to_dict()
    assert not apply_presets(cfg) and cfg.to_dict() == before and cfg.presets == []


def test_a_config_without_presets_stays(cfg):
    before = cfg.to_dict()
    assert apply_presets(cfg) == [] and cfg.to_dict() == before


@pytest.mark.parametrize(
    ('settings', 'words', 'said'),
    [
        ({}, ['emma'], "no preset 'emma'; use small_data, "),
        ({}, ['ema=2'], 'preset ema is 2: set it to a number from 1e-06 to 0.5'),
        ({}, ['gradient_accumulation=2.5'], 'a whole number from 1'),
        ({}, ['early_stopping=10_0'], "early_stopping is '10_0': set it to a whole"),
        ({}, ['early_stopping=inf'], 'early_stopping is inf: set it to a whole'),
        ({}, ['early_stopping=many'], "early_stopping is 'many': set it to a whole"),
        ({}, ['tensorboard=1'], 'takes no number'),
        ({}, ['amp', 'bf16'], 'amp and bf16 do the same thing in two ways'),
        ({}, ['ema', 'checkpoint_averaging'], 'leave one out'),
        ({'presets': 'ema'}, [], r"give a list of names, as \['ema'\]"),
        ({'val_dataloader': None}, ['early_stopping'], 'watches validations'),
        (
            {f'{SAVING}save_best': None, 'val_evaluator.type': 'LVISMetric'},
            ['early_stopping'],
            'does not know which number',
        ),
        ({'train_cfg': dict(type='Loop')}, ['checkpoint_averaging'], 'neither max_ep'),
        ({'train_cfg': dict(max_iters=9)}, ['small_data'], 'no max_epochs'),
        (
            {'train_dataloader.dataset.pipeline': [dict(type='LoadImageFromFile')]},
            ['small_data'],
            'train_dataloader.dataset.pipeline has none',
        ),
        ({'optim_wrapper.type': 'ApexOptimWrapper'}, ['bf16'], 'type is ApexOptimWr'),
        ({'find_unused_parameters': True}, ['activation_checkpointing'], 'to False'),
        (
            {'model.backbone.type': 'CSPNeXt'},
            ['activation_checkpointing'],
            'finds neither a backbone',
        ),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(cfg, settings, words, said):
    for key, value in settings.items():
        if isinstance(value, dict):
            cfg[key] = value
        else:
            cfg.merge_from_dict({key: value})
    with pytest.raises(ConfigError, match=said):
        apply_presets(cfg, words)


@pytest.mark.parametrize('name', ['tensorboard', 'mlflow', 'wandb_offline'])
def test_a_missing_library_is_named_before_the_training(cfg, name, monkeypatch):
    """So is one of which there is nothing but a folder of its name."""
    monkeypatch.chdir(cfg.filename.rpartition('/')[0])
    Path(name.partition('_')[0]).mkdir()
    with monkeypatch.context() as lacking:
        lacking.setattr(loggers, 'find_spec', lambda _: None)
        with pytest.raises(ModuleNotFoundError) as found:
            apply_presets(cfg, [name])
    assert found.value.name == name.partition('_')[0]


@pytest.mark.parametrize(
    ('settings', 'watched', 'rule'),
    [
        ({}, 'coco/bbox_mAP', 'greater'),
        ({f'{SAVING}save_best': 'auto', f'{SAVING}rule': None}, 'coco/bbox_mAP', None),
        ({f'{SAVING}save_best': None, f'{SAVING}rule': None}, 'coco/bbox_mAP', None),
        (
            {f'{SAVING}save_best': None, 'val_evaluator.type': 'FastCocoMetric'},
            'coco/bbox_mAP',
            'greater',
        ),
        ({f'{SAVING}save_best': ['a/loss', 'b'], f'{SAVING}rule': None}, 'a/loss', 0),
        (
            {
                f'{SAVING}save_best': None,
                'val_evaluator.metric': ['segm'],
                'val_evaluator.prefix': 'x',
            },
            'x/segm_mAP',
            'greater',
        ),
    ],
)
def test_what_early_stopping_watches(cfg, settings, watched, rule):
    cfg.merge_from_dict(settings)
    apply_presets(cfg, ['early_stopping'])
    hook = cfg.custom_hooks[-1]
    rule = 'less' if rule == 0 else 'greater'
    assert (hook.monitor, hook.rule) == (watched, rule)
    assert cfg.default_hooks.checkpoint.save_best  # else the best one would be lost


def test_small_data_keeps_sizes_and_flips(cfg):
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(3, dict(type='Resize', scale=(64, 64), keep_ratio=True))
    pipeline.insert(4, dict(type='RandomCrop', crop_size=(32, 32)))
    apply_options(cfg, RunOptions(preset=['small_data=60'], image_size=96))
    pipeline = cfg.train_dataloader.dataset.pipeline
    expected = ['Expand', 'MinIoURandomCrop', 'RandomFlip', 'Resize']
    assert [step['type'] for step in pipeline[2:6]] == expected
    assert pipeline[5].scale == (96, 96)
    kinds = [step['type'] for step in pipeline]
    assert kinds.count('PhotoMetricDistortion') == 1 and 'RandomCrop' not in kinds
    assert cfg.train_cfg.max_epochs == 60


def test_an_average_begins_at_the_same_share_of_a_longer_run(cfg):
    """mmengine counts epochs from 1: of 24 the last quarter is 19 to 24."""
    cfg.train_cfg.max_epochs = 12
    options = RunOptions(preset=['checkpoint_averaging'], epochs=24)
    (decision,) = apply_options(cfg, options)
    assert cfg.custom_hooks[0].begin_epoch == 19
    assert 'from epoch 19 of 24 on' in str(decision)
    # That of a config, which was written before: 12 of 24 when there are 48.
    apply_options(cfg, RunOptions(epochs=48))
    assert cfg.custom_hooks[0].begin_epoch == 37
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=100)
    apply_presets(cfg, ['checkpoint_averaging=0.1'])
    assert cfg.custom_hooks[0].begin_iter == 91


def test_a_short_run_is_averaged_over_the_share_of_its_new_length(cfg):
    """The last half of 4 epochs is 3 and 4, whoever says that there are 4."""

    def check(options, settings):
        mine = copy.deepcopy(cfg)
        options = RunOptions(preset=['checkpoint_averaging=0.5'], **options)
        (decision,) = apply_options(mine, options, settings)
        assert mine.custom_hooks[0].begin_epoch == 3
        assert 'from epoch 3 of 4 on' in str(decision)

    assert cfg.train_cfg.max_epochs == 2
    check_each(check, [(dict(epochs=4), {}), ({}, {'train_cfg.max_epochs': 4})])


def test_small_data_has_as_many_epochs_as_it_says(cfg):
    """What the command line asks for is neither changed nor passed over."""

    def check(epochs, settings, said):
        mine = copy.deepcopy(cfg)
        options = RunOptions(preset=['small_data=3'], epochs=epochs)
        if 'command line' in said:
            with pytest.raises(ConfigError, match=said):
                apply_options(mine, options, settings)
        else:
            decided = apply_options(mine, options, settings)
            assert said in str(decided[0])
            assert mine.train_cfg.max_epochs == int(said.split()[0])

    less = 'asks for 3 epochs at least, and the command line for 1; write small_data=1'
    check_each(
        check,
        [
            (None, {}, '3 epochs in place of 2'),
            (4, {}, '4 epochs, which are enough'),
            (1, {}, less),
            (None, {'train_cfg.max_epochs': 1}, less),
        ],
    )


def test_polygons_are_not_put_onto_a_canvas(cfg):
    """mmdet's PolygonMasks cannot be expanded."""
    loading = cfg.train_dataloader.dataset.pipeline[1]
    loading.update(with_mask=True, poly2mask=False)
    apply_presets(cfg, ['small_data'])
    steps = [step['type'] for step in cfg.train_dataloader.dataset.pipeline]
    assert 'Expand' not in steps and 'MinIoURandomCrop' not in steps


def test_a_leaf_holds_what_its_presets_decided(tmp_path):
    """`--data --preset`: a config by itself, without the preset's line in effect."""
    base = tmp_path / 'base.py'
    base.write_text(
        CONFIG.format(classes=('a', 'b'), root='/nowhere') + "presets = ['ema']\n"
    )
    yolo_roboflow(tmp_path / 'parts')
    words = ['--config', str(base), '--out', str(tmp_path / 'out'), '--preset']
    for _ in range(2):  # the second time it is the same, and not refused
        prepare.main([str(tmp_path / 'parts'), *words, 'gradient_accumulation=2'])
    leaf = read_config(str(tmp_path / 'out' / 'base_parts.py'))
    assert leaf.presets == [] and types(leaf) == ['EMAHook']
    assert leaf.optim_wrapper.accumulative_counts == 2
    assert leaf.model.bbox_head.num_classes == len(CLASSES)
    # The learning rate is for the larger batch: 2 images, 2 mini-batches, made for 16.
    assert leaf.auto_scale_lr.base_batch_size == 4
    assert leaf.optim_wrapper.optimizer.lr == pytest.approx(2e-4 * (4 / 16) ** 0.5)
    assert 'preset gradient_accumulation' in Path(leaf.filename).read_text()


def test_every_config_of_the_project_takes_every_preset(monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda: True)

    def check(path):
        cfg = read_config(str(path))
        for name in PRESETS:
            assert apply_presets(copy.deepcopy(cfg), [name]), name

    check_each(check, LEAVES[::4])


def test_a_whole_number_may_be_written_as_any_other():
    assert read_preset('early_stopping=1e1') == ('early_stopping', 10)
    assert isinstance(read_preset('small_data=20.0')[1], int)


def test_presets_are_documented():
    """Each has a row in the page, a docstring with costs and use, and is in --help."""
    page = (REPOSITORY / 'docs' / 'presets.md').read_text()
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    shown = ' '.join(parser.format_help().split())
    for name, preset in PRESETS.items():
        module = import_module(f'mmdet_qrpaq.presets.{preset.module}')
        text = getattr(module, name).__doc__
        assert 'Costs: ' in text and 'Use it: ' in text, name
        assert f'| `{name}' in page and name in shown, name
        if preset.number:
            assert f'| `{name}={preset.number.default:g}` |' in page, name
            assert read_preset(name) == (name, preset.number.default)
