"""What is added to a config so that a resumed run repeats the whole one."""

import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook

from mmdet_qrpaq.runtime import ReproducibleRandomness
from mmdet_qrpaq.runtime.resume import make_repeatable

NAME = 'ReproducibleRandomness'


@pytest.mark.parametrize(
    ('hooks', 'added'),
    [
        (None, 1),
        ([dict(type='EMAHook')], 1),
        ([dict(type=EMAHook)], 1),
        ([dict(type=NAME)], 0),
        ([dict(type=f'mmdet.{NAME}')], 0),
        ([dict(type=ReproducibleRandomness)], 0),
        ([ReproducibleRandomness()], 0),
    ],
)
def test_hook_is_there_once(hooks: list | None, added: int) -> None:
    """Configs in pure Python give classes instead of names."""
    cfg = Config(dict(custom_hooks=hooks, train_dataloader=dict()))
    make_repeatable(cfg)
    assert len(cfg.custom_hooks) == len(hooks or []) + added
    make_repeatable(cfg)
    assert len(cfg.custom_hooks) == len(hooks or []) + added


@pytest.mark.parametrize('wanted', [True, False])
def test_persistent_workers_are_told(
    wanted: bool, capsys: pytest.CaptureFixture
) -> None:
    cfg = Config(dict(train_dataloader=dict(persistent_workers=wanted)))
    make_repeatable(cfg)
    assert cfg.train_dataloader.persistent_workers is False
    assert ('persistent_workers is set to False' in capsys.readouterr().out) is wanted


@pytest.mark.parametrize('resume', [True, False])
def test_only_a_resumed_run_regroups_a_checkpoint(resume: bool) -> None:
    cfg = Config(dict(resume=resume, train_dataloader=dict()))
    make_repeatable(cfg)
    names = [hook.type for hook in cfg.custom_hooks]
    assert ('mmdet.CheckpointGroups' in names) is resume
