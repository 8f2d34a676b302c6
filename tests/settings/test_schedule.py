"""Schedules that do not fit the length of the run are told."""

from pathlib import Path

from mmengine.config import Config

from check_each import check_each
from mmdet_qrpaq.finding import Severity
from mmdet_qrpaq.runtime.configs import read_config
from mmdet_qrpaq.settings.schedule import check_schedule
from tiny_hosts import REPOSITORY

EPOCHS = dict(type='EpochBasedTrainLoop', max_epochs=6)
ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=6)
WARM = dict(type='LinearLR', by_epoch=False, begin=0, end=500)
DROP = dict(type='MultiStepLR', milestones=[4], end=6)
COSINE = dict(type='CosineAnnealingLR', T_max=6, end=6)


def told(loop, *schedulers) -> list[str]:
    found = check_schedule(Config(dict(train_cfg=loop, param_scheduler=schedulers)))
    assert {finding.severity for finding in found} <= {Severity.WARNING}
    return [f'{finding.place}: {finding.what}' for finding in found]


def test_schedules_that_fit_are_silent():
    def check(loop, *schedulers):
        assert told(loop, *schedulers) == []

    check_each(
        check,
        [
            (EPOCHS, WARM, DROP),
            (EPOCHS, WARM, COSINE),
            (EPOCHS, dict(type='MultiStepLR', milestones=[4])),
            (EPOCHS, dict(DROP, end=12)),  # how long none drops does not matter
            (dict(by_epoch=False, max_iters=900), WARM, dict(COSINE, by_epoch=True)),
            (ITERATIONS, dict(DROP, by_epoch=False)),
            (EPOCHS,),
            (dict(type='MyLoop'), DROP),
        ],
    )
    assert check_schedule(Config(dict(param_scheduler=DROP))) == []


def test_schedules_of_another_length_are_told():
    def check(place, loop, scheduler, *sentences):
        assert told(loop, WARM, scheduler) == list(sentences)

    late = 'is not reached in train_cfg.max_epochs=6'
    ends = 'and the run at train_cfg.max_epochs=6'
    drop = 'so the learning rate does not drop there'
    key = 'param_scheduler.1'
    check_each(
        check,
        [
            (
                'drop',
                EPOCHS,
                dict(DROP, milestones=[4, 6, 11], end=12),
                f'{key}.milestones: 6 {late}, {drop}',
            ),
            (
                'longer run',
                EPOCHS,
                dict(DROP, milestones=[1], end=2),
                f'{key}.end: the schedule ends at 2 {ends}',
            ),
            (
                'shorter run',
                EPOCHS,
                dict(COSINE, end=12, T_max=12),
                f'{key}.end: the schedule ends at 12 {ends}',
            ),
        ],
    )


def test_every_config_has_the_schedule_of_its_length():
    def check(path: Path):
        assert check_schedule(read_config(str(path))) == []

    check_each(check, sorted((REPOSITORY / 'configs').glob('*.py'))[::6])
