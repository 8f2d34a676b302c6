"""A resumed run has the rates of an uninterrupted one with the config it has now.

Every run is mmengine's own, of a model of two layers; what is compared is what the
optimizer's groups hold before each iteration.
"""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from check_each import check_each
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.optim import CheckpointGroups, ConfiguredSchedule

STEPS = 3  # batches an epoch, of two
DROP = dict(type='MultiStepLR', milestones=[1], gamma=0.1, begin=0, end=2)
LATER = dict(DROP, milestones=[3], end=4)
WARM = dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=4)
COSINE = dict(type='CosineAnnealingLR', T_max=2, begin=0, end=2, eta_min_ratio=0.01)
LONGER = dict(COSINE, T_max=4, end=4)
CYCLE = dict(type='OneCycleLR', eta_max=0.4, total_steps=4)
BY_ITERATION = dict(convert_to_iter_based=True)
MOMENTUM = dict(type='CosineAnnealingMomentum', T_max=2, end=2, eta_min=0.5)
ADAMW = dict(type='AdamW', lr=0.1, weight_decay=0.05)
SGD = dict(type='SGD', lr=0.1, momentum=0.9)
SLOWER = dict(custom_keys={'body': dict(lr_mult=0.1)})


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(1, 2), nn.Linear(2, 1)

    def forward(self, *inputs, mode):
        return dict(loss=self.head(self.body(torch.stack(inputs))).square().mean())


class Recorder(Hook):
    """Notes the settings of the groups before each iteration."""

    def __init__(self):
        self.seen = {}

    def before_train_iter(self, runner, *args, **kwargs):
        names = ('lr', 'weight_decay', 'betas', 'momentum')
        self.seen[runner.iter] = [
            {name: group[name] for name in names if name in group}
            for group in runner.optim_wrapper.param_groups
        ]


def run(folder, schedule, epochs=4, resume=None, hooks=True, **settings):
    """Trains; returns what was seen at each iteration."""
    torch.manual_seed(0)
    settings = (
        dict(optimizer=ADAMW, paramwise=None, batch_size=2, iters=None) | settings
    )
    recorder = Recorder()
    added = [CheckpointGroups(), ConfiguredSchedule()] if hooks else []
    loop, by_epoch = dict(by_epoch=True, max_epochs=epochs), True
    if settings['iters']:
        loop, by_epoch = dict(by_epoch=False, max_iters=settings['iters']), False
    runner = Runner(
        model=Model(),
        default_scope='mmdet',
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=settings['batch_size'],
            num_workers=0,
            dataset=torch.ones(2 * STEPS, 1),
            sampler=dict(
                type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=False
            ),
        ),
        train_cfg=loop,
        optim_wrapper=dict(
            optimizer=settings['optimizer'],
            **(
                {'paramwise_cfg': settings['paramwise']}
                if settings['paramwise']
                else {}
            ),
        ),
        param_scheduler=copy.deepcopy(schedule),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=by_epoch),
            logger=None,
            sampler_seed=None,
            timer=None,
        ),
        custom_hooks=[recorder, *added],
        load_from=str(resume) if resume else None,
        resume=bool(resume),
        experiment_name=str(folder),  # mmengine keeps a logger for each
        log_level='WARNING',
    )
    runner.train()
    return recorder.seen


def after_two_epochs(tmp_path, schedule, **settings):
    """The checkpoint that a run, of two epochs if not said, wrote after six steps."""
    folder = tmp_path / 'old'
    run(folder, schedule, **(dict(epochs=2) | settings))
    return folder / ('iter_6.pth' if 'iters' in settings else 'epoch_2.pth')


def follows(tmp_path, before, now, **settings):
    """Checks the rates of a resumed run; returns those of all runs."""
    was, is_now = settings.pop('was', {}), settings
    checkpoint = after_two_epochs(tmp_path, before, **(is_now | was))
    resumed = run(tmp_path / 'resumed', now, resume=checkpoint, **is_now)
    whole = run(tmp_path / 'whole', now, **is_now)
    assert len(resumed) == len(whole) - 2 * STEPS
    assert resumed == {step: whole[step] for step in resumed}
    return resumed, whole


ITERATIONS = dict(iters=4 * STEPS)
BY_STEP = dict(DROP, milestones=[2], end=12, by_epoch=False)
CHANGES = {
    'a later drop': ([DROP], [LATER], {}),
    'a drop that is past': ([LATER], [DROP], {}),
    'a longer warm-up': ([WARM, DROP], [dict(WARM, end=9), LATER], {}),
    'no warm-up': ([WARM, DROP], [LATER], {}),
    'a cosine by epoch': ([COSINE], [LONGER], {}),
    'a cosine by iteration': (
        [WARM, COSINE | BY_ITERATION],
        [WARM, LONGER | BY_ITERATION],
        {},
    ),
    'a cosine instead of a drop': ([DROP], [LONGER], {}),
    'no schedule': ([DROP], None, {}),
    'a schedule where there was none': (None, [LATER], {}),
    'another rate': ([LATER], [LATER], dict(was=dict(optimizer=ADAMW | dict(lr=1.0)))),
    'another rate without a schedule': (
        None,
        None,
        dict(was=dict(optimizer=ADAMW | dict(lr=1.0))),
    ),
    'another weight decay': (
        [LATER],
        [LATER],
        dict(was=dict(optimizer=ADAMW | dict(weight_decay=0.5))),
    ),
    'several groups': (
        [WARM, DROP],
        [WARM, LATER],
        dict(paramwise=SLOWER, was=dict(optimizer=ADAMW | dict(lr=1.0))),
    ),
    'groups of other rates': (
        [LATER],
        [LATER],
        dict(
            paramwise=SLOWER,
            was=dict(paramwise=dict(custom_keys={'body': dict(lr_mult=0.5)})),
        ),
    ),
    'rates of another part': (
        [LATER],
        [LATER],
        dict(
            paramwise=SLOWER,
            was=dict(
                paramwise=dict(
                    custom_keys={'head': dict(lr_mult=0.5)}, norm_decay_mult=0
                )
            ),
        ),
    ),
    'no decay of a part': (
        [LATER],
        [LATER],
        dict(
            paramwise=dict(custom_keys={'body': dict(decay_mult=0.0)}),
            was=dict(paramwise=SLOWER),
        ),
    ),
    'a cycle instead of a drop': ([DROP], [CYCLE], {}),
    'momentum of Adam': ([MOMENTUM, DROP], [dict(MOMENTUM, T_max=4, end=4), LATER], {}),
    'momentum of SGD': (
        [MOMENTUM],
        [dict(MOMENTUM, T_max=4, end=4)],
        dict(optimizer=SGD),
    ),
    'iterations': ([BY_STEP], [dict(BY_STEP, milestones=[4, 8])], ITERATIONS),
}


def test_a_changed_schedule_is_that_of_an_uninterrupted_run(tmp_path):
    def check(name, before, now, settings):
        folder = tmp_path / name.replace(' ', '_')
        follows(folder, before, now, **settings)

    check_each(check, [(name, *change) for name, change in CHANGES.items()])


def test_a_drop_moved_from_1_to_3_by_hand(tmp_path):
    resumed, _ = follows(tmp_path, [DROP], [LATER])
    rates = [groups[0]['lr'] for groups in resumed.values()]
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 3)


def test_larger_batches_go_on_at_the_same_epoch(tmp_path):
    """Six batches an epoch before, three now: half the run is half the cosine."""
    schedule = [LONGER | BY_ITERATION]
    checkpoint = after_two_epochs(tmp_path, schedule, batch_size=1)
    resumed = list(run(tmp_path / 'resumed', schedule, resume=checkpoint).values())
    whole = list(run(tmp_path / 'whole', schedule).values())
    assert resumed == whole[2 * STEPS :]


def test_an_unchanged_schedule_is_restored_as_by_mmengine(tmp_path, capsys):
    def check(name, schedule, settings):
        folder = tmp_path / name
        checkpoint = after_two_epochs(folder, schedule, epochs=4, **settings)
        runs = [
            run(
                folder / str(hooks),
                schedule,
                resume=checkpoint,
                hooks=hooks,
                **settings,
            )
            for hooks in (False, True)
        ]
        assert runs[0] == runs[1] and runs[0]

    plateau = dict(type='ReduceOnPlateauLR', monitor='loss')
    check_each(
        check,
        [
            ('drop', [WARM, LATER], {}),
            ('cosine', [WARM, LONGER | BY_ITERATION], dict(paramwise=SLOWER)),
            ('momentum', [MOMENTUM, LATER], {}),
            ('iterations', [BY_STEP], ITERATIONS),
            ('plateau', [plateau], {}),
            ('none', None, {}),
        ],
    )
    assert 'differ from' not in capsys.readouterr().out


def test_what_differs_is_told_in_one_line(tmp_path, capsys):
    old = dict(optimizer=ADAMW | dict(weight_decay=0.5))
    checkpoint = after_two_epochs(tmp_path, [DROP], **old)
    capsys.readouterr()
    run(tmp_path / 'resumed', [LATER], resume=checkpoint)
    told = [
        line for line in capsys.readouterr().out.splitlines() if 'differ from' in line
    ]
    assert len(told) == 1
    assert told[0].endswith(
        'optimizer.weight_decay 0.5 -> 0.05, param_scheduler.0.milestones [1] -> [3], '
        'param_scheduler.0.end 2 -> 4. Learning rate of the next iteration: '
        '0.01 -> 0.1.'
    )


def test_a_run_that_is_through_is_told(tmp_path, capsys):
    def check(told, old, now):
        checkpoint = after_two_epochs(tmp_path / told, [LATER], **old)
        capsys.readouterr()
        seen = run(tmp_path / told / 'resumed', [DROP], resume=checkpoint, **now)
        out = capsys.readouterr().out
        assert seen == {} and f'left to train: the checkpoint {told}' in out, out
        assert 'Learning rate' not in out

    check_each(
        check,
        [
            ('is at epoch 2, and train_cfg.max_epochs is 1.', {}, dict(epochs=1)),
            ('is at epoch 2, and train_cfg.max_epochs is 2.', {}, dict(epochs=2)),
            (
                'is at iter 6, and train_cfg.max_iters is 5.',
                dict(iters=6),
                dict(iters=5),
            ),
        ],
    )


def test_what_cannot_be_followed_is_refused(tmp_path):
    plateau = [dict(type='ReduceOnPlateauLR', monitor='loss', patience=1)]

    def check(name, before, now, old, new, sentence):
        checkpoint = after_two_epochs(tmp_path / name, before, **old)
        with pytest.raises(ConfigError, match=sentence):
            run(tmp_path / name / 'resumed', now, resume=checkpoint, **new)

    check_each(
        check,
        [
            (
                'plateau',
                plateau,
                [dict(plateau[0], patience=5)],
                {},
                {},
                r'has changed: .*, param_scheduler.0.patience 1 -> 5; undo',
            ),
            (
                'optimizer',
                [DROP],
                [DROP],
                {},
                dict(optimizer=SGD),
                'has no dampening, momentum, by which SGD is set; resume with',
            ),
        ],
    )


def test_runs_that_are_not_resumed_are_left_alone(tmp_path):
    runner = object.__new__(Runner)
    for resumes, optimizer in ((False, None), (True, dict(type='OptimWrapper'))):
        runner._resume, runner.optim_wrapper = resumes, optimizer
        checkpoint = dict(state_dict={})
        ConfiguredSchedule().after_load_checkpoint(runner, checkpoint)
        assert checkpoint == dict(state_dict={})
