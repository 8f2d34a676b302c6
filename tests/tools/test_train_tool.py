"""tools/train.py: trains, resumes exactly, and starts from other weights."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from tiny_runs import load_tool, logged, logged_losses, run_tool


def test_resume_repeats_the_uninterrupted_run(
    tiny_config: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """Also without a seed in the config, and with workers that wanted to persist."""
    whole = logged_losses(tiny_run)
    assert sorted(whole) == [1, 2, 3, 4]
    # As a run broken off in its second epoch leaves it, moved to another folder.
    shutil.copy(tiny_run / 'epoch_1.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(Path('gone') / 'epoch_1.pth'))
    run_tool('train', tiny_config, '--work-dir', tmp_path, '--resume')
    assert logged_losses(tmp_path) == {3: whole[3], 4: whole[4]}
    first, second = (
        read_checkpoint(str(folder / 'epoch_2.pth'))['state_dict']
        for folder in (tiny_run, tmp_path)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_resume_follows_the_schedule_of_the_config(
    tiny_config: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The run had no drop yet; the resumed one has it behind its first epoch."""
    run_tool(
        'train',
        *(tiny_config, '--work-dir', tmp_path, '--resume', tiny_run / 'epoch_1.pth'),
        *('--cfg-options', 'param_scheduler.0.milestones=[1]'),
        'optim_wrapper.optimizer.lr=0.0004',
    )
    assert logged(tiny_run, 'lr') == pytest.approx(dict.fromkeys((1, 2, 3, 4), 2e-4))
    assert logged(tmp_path, 'lr') == pytest.approx({3: 4e-5, 4: 4e-5})
    told = 'param_scheduler.0.milestones [11] -> [1]. Learning rate of the next'
    assert told in capsys.readouterr().out


def test_resume_with_nothing_left(
    tiny_config: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run_tool(
        *('train', tiny_config, '--work-dir', tmp_path),
        *('--resume', tiny_run / 'epoch_2.pth'),
        *('--cfg-options', 'train_cfg.max_epochs=1'),
    )
    told = capsys.readouterr().out
    assert told.count('checkpoint is at epoch 2, and train_cfg.max_epochs is 1.') == 1
    assert 'Learning rate of the next' not in told


def test_resume_with_another_optimizer_is_refused(
    tiny_config: Path, tiny_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match='optimizer.type is Adamax and was AdamW'):
        run_tool(
            *('train', tiny_config, '--work-dir', tmp_path),
            *('--resume', tiny_run / 'epoch_1.pth'),
            *('--cfg-options', 'optim_wrapper.optimizer.type=Adamax'),
        )


@pytest.mark.parametrize('fused', [False, True])
def test_resume_with_merged_groups_of_the_optimizer(
    tiny_config: Path, tiny_run: Path, tmp_path: Path, fused: bool
) -> None:
    """A checkpoint with a group a tensor; losses go on as if nothing had changed."""
    whole = logged_losses(tiny_run)
    run_tool(
        'train',
        *(tiny_config, '--work-dir', tmp_path),
        *('--resume', tiny_run / 'epoch_1.pth', '--cfg-options'),
        'optim_wrapper.constructor=MergedOptimWrapperConstructor',
        f'optim_wrapper.optimizer.fused={fused}',
    )
    found = logged_losses(tmp_path)
    assert found == pytest.approx({3: whole[3], 4: whole[4]}, rel=1e-4)
    written = read_checkpoint(str(tmp_path / 'epoch_2.pth'))['optimizer']
    assert len(written['param_groups']) < 5
    # Its groups are known by the config alone: another lr_mult would take their state.
    moved = 'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0.2'
    with pytest.raises(ConfigError, match='paramwise_cfg is .*0.2.* and was .*0.1'):
        run_tool(
            *('train', tiny_config, '--work-dir', tmp_path / 'moved'),
            *('--resume', tmp_path / 'epoch_2.pth', '--cfg-options', moved),
            'optim_wrapper.constructor=MergedOptimWrapperConstructor',
        )


@pytest.mark.parametrize(
    'loader',
    [
        ['train_dataloader.num_workers=0'],
        # A worker, and batches that OneDL's mmengine could pass over unmade.
        ['train_dataloader.num_workers=1', 'train_dataloader.batch_sampler=None'],
    ],
)
def test_iteration_based_resume_is_exact(
    tiny_config: Path, tmp_path: Path, loader: list
) -> None:
    """Five of a four-image set's batches: the resumed part crosses an epoch."""
    options = [
        *loader,
        'train_dataloader.persistent_workers=False',
        'train_dataloader.sampler.type=InfiniteSampler',
        'default_hooks.checkpoint.by_epoch=False',
        'default_hooks.checkpoint.interval=2',
        'default_hooks.checkpoint.save_best=None',
        'log_processor.by_epoch=False',
        'val_dataloader=None',
        'val_evaluator=None',
        'val_cfg=None',
    ]
    config = tmp_path / 'iterations.py'
    config.write_text(
        f'_base_ = [{str(tiny_config)!r}]\n'
        "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=5)\n"
    )
    losses = []
    for name, resume in (
        ('whole', []),
        ('resumed', ['--resume', str(tmp_path / 'whole' / 'iter_2.pth')]),
    ):
        arguments = [str(config), '--work-dir', str(tmp_path / name), *resume]
        run_tool('train', *arguments, '--cfg-options', *options)
        losses.append(logged_losses(tmp_path / name))
    whole, resumed = losses
    assert sorted(resumed) == [3, 4, 5]
    assert resumed == {step: whole[step] for step in resumed}


def test_fine_tuning_tolerates_other_classes(
    tiny_config: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """`load_from` of a two-class model into a one-class one reports and trains."""
    config = tmp_path / 'one_class.py'
    one_class = "dict(dataset=dict(metainfo=dict(classes=('disc',))))"
    config.write_text(
        f'_base_ = [{str(tiny_config)!r}]\n'
        f'load_from = {str(tiny_run / "epoch_2.pth")!r}\n'
        'model = dict(bbox_head=dict(num_classes=1))\n'
        f'train_dataloader = {one_class}\n'
        'train_cfg = dict(max_epochs=1)\n'
        'val_dataloader = None\nval_evaluator = None\nval_cfg = None\n'
        'default_hooks = dict(checkpoint=dict(save_best=None))\n'
    )
    run_tool('train', config, '--work-dir', tmp_path / 'run')
    # Two decoder layers and the encoder: weight and bias each; and label_embedding.
    assert '7 of other shape' in capsys.readouterr().out
    assert sorted(logged_losses(tmp_path / 'run')) == [1, 2]


@pytest.mark.parametrize(
    ('flags', 'key', 'expected'),
    [
        (['--auto-scale-lr'], 'auto_scale_lr.enable', True),
        (
            ['--auto-scale-lr', '--preset', 'gradient_accumulation=2'],
            'auto_scale_lr.base_batch_size',
            8,
        ),
        (['--amp'], 'optim_wrapper.type', 'AmpOptimWrapper'),
        (['--preset', 'ema', '--amp'], 'custom_hooks.0.momentum', 0.0002),
        (['--preset', 'bf16'], 'optim_wrapper.type', 'mmdet.BFloat16OptimWrapper'),
    ],
)
def test_flags_reach_the_config(
    tiny_config: Path,
    tmp_path: Path,
    flags: list,
    key: str,
    expected: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = load_tool('train')
    seen = []

    class Stop(Exception):
        pass

    def record(cfg: object, stages: tuple) -> None:
        seen.append(cfg)
        raise Stop

    monkeypatch.setattr('mmdet_qrpaq.runtime.preflight.preflight', record)
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda: True)
    with pytest.raises(Stop):
        train.main([str(tiny_config), '--work-dir', str(tmp_path), *flags])
    value = seen[0]
    for part in key.split('.'):
        value = value[int(part) if part.isdecimal() else part]
    assert value == expected


def test_five_lines_in_a_users_own_config(tiny_config: Path, tmp_path: Path) -> None:
    """custom_imports and two types are enough to train PaQ on a config that is there.

    Iteration 2 has a batch without any object.
    """
    truth = json.loads((tiny_config.parent / 'data' / 'train.json').read_text())
    kept = {image['id'] for image in truth['images'][:2]}
    truth['annotations'] = [a for a in truth['annotations'] if a['image_id'] in kept]
    empty = tmp_path / 'half_empty.json'
    empty.write_text(json.dumps(truth))
    config = tmp_path / 'mine.py'
    config.write_text(
        f'_base_ = [{str(tiny_config)!r}]\n'
        "custom_imports = dict(imports=['mmdet_qrpaq'], allow_failed_imports=False)\n"
        "model = dict(type='QRPaQDINO',\n"
        "    pattern_query=dict(type='PatternQueryGenerator', num_patterns=5),\n"
        "    bbox_head=dict(type='QualityAwareDINOHead', quality=dict()))\n"
    )
    run_tool(
        'train',
        config,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        f'train_dataloader.dataset.ann_file={empty}',
        'train_dataloader.sampler.shuffle=False',
        'train_cfg.max_epochs=1',
    )
    losses = logged_losses(tmp_path / 'run')
    assert sorted(losses) == [1, 2] and all(map(math.isfinite, losses.values()))
