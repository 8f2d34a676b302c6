"""The config in a checkpoint: what is read of it, and what is refused unread."""

import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from check_each import check_each
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.prediction.stored_config import config_of
from mmdet_qrpaq.runtime.configs import read_config
from tiny_hosts import REPOSITORY
from tiny_runs import CLASSES, CONFIG

USED = ('default_scope', 'model', 'test_dataloader', 'val_dataloader', 'val_evaluator')


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> Config:
    path = tmp_path_factory.mktemp('tiny') / 'tiny.py'
    path.write_text(CONFIG.format(classes=CLASSES, root='/data'))
    return read_config(str(path))


def stored(cfg: Config) -> dict:
    unformatted = Config(cfg.to_dict(), format_python_code=False)  # in a moment
    return dict(meta=dict(cfg=unformatted.pretty_text))


def test_what_is_read_is_what_was_written(tiny):
    configs = sorted((REPOSITORY / 'configs').glob('*digits*.py'))

    def check(name, cfg):
        found = config_of(stored(cfg), 'x.pth').to_dict()
        written = cfg.to_dict()
        for key in USED:
            assert found.get(key) == written.get(key), key

    check_each(check, [(p.name, read_config(str(p))) for p in configs[:3]])
    check('tiny', tiny)


def test_what_could_be_run_is_refused_and_not_run(tiny, tmp_path):
    trace = tmp_path / 'trace'
    touch = f"open({str(trace)!r}, 'w')"

    def check(name, key, value):
        cfg = Config(tiny.to_dict(), cfg_text=tiny.text, filename='tiny.py')
        cfg.merge_from_dict({key: value})
        with pytest.raises(ConfigError, match='the config in checkpoint x.pth has'):
            config_of(stored(cfg), 'x.pth')
        assert not trace.exists()

    loader = 'test_dataloader.dataset'
    check_each(
        check,
        [
            ('function', 'model', dict(type='os.system', command=f'touch {trace}')),
            ('reader of pickles', 'model', dict(type='mmengine.load', file='x')),
            ('module', 'model.neck.type', 'this'),
            ('nms', 'model.test_cfg.nms', dict(type=touch)),
            ('other texts', 'model.test_cfg.mode', touch),
            ('step', f'{loader}.pipeline', [dict(type='subprocess.call', args='ls')]),
            ('pickle', f'{loader}.ann_file', 'http://example.org/a.pkl'),
            ('YAML', f'{loader}.ann_file', 'a.yaml'),
        ],
    )
    assert 'this' not in sys.modules


def test_a_program_is_not_run(tmp_path):
    """Lines that are no settings are left out, whatever they do."""
    trace = tmp_path / 'trace'
    text = f"open({str(trace)!r}, 'w')\nmodel = dict(type='DINO', x=open('/'))\n"
    for cfg in (text, 'model = [', '', None, 7):
        with pytest.raises(ConfigError, match='no config that can be read; .*--config'):
            config_of(dict(meta=dict(cfg=cfg)), 'x.pth')
    with pytest.raises(ConfigError, match='no config that can be read'):
        config_of(dict(state_dict={}), 'x.pth')
    assert not trace.exists()


def test_modules_of_the_config_are_not_imported(tiny, tmp_path: Path, monkeypatch):
    (tmp_path / 'stranger.py').write_text('raise RuntimeError')
    monkeypatch.syspath_prepend(tmp_path)
    cfg = Config(tiny.to_dict(), cfg_text=tiny.text, filename='tiny.py')
    cfg.custom_imports = dict(imports=['stranger'])
    assert config_of(stored(cfg), 'x.pth').model == tiny.model
