"""One sentence for whatever is wrong with a config file or its overrides."""

import argparse
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_qrpaq.command_line import add_config_options
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.configs import (
    format_configs_once,
    read_config,
)
from mmdet_qrpaq.settings.options import parse_settings

HOST = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('nowhere.py', None, 'nowhere.py does not exist in /.*; give the path'),
        ('a.pth', '', 'Only py/yml/yaml/json'),
        ('a.py', 'lr = 1', 'defines no `model`'),
        ('a.py', 'model = None', 'defines no `model`'),
        ('a.py', 'lr = 1\nmodel = dict((', r'never closed in line 2 \(model = dict'),
        ('a.py', "_base_ = 'b.py'\nlr = 1", 'FileNotFoundError: .*b.py'),
        ('a.py', "_base_ = 'nopackage::x/b.py'", 'cannot be read: .*load nopackage'),
        ('a.py', 'lr = 1\nmodel = dict(depth=deep)', r"'deep'.*a\.py, line 2\)"),
        (
            'a.py',
            "custom_imports = dict(imports=['nomodule'], allow_failed_imports=False)",
            "ModuleNotFoundError: No module named 'nomodule'$",
        ),
    ],
)
def test_files(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message) as refusal:
        read_config(str(path))
    assert '\n' not in str(refusal.value)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('mmdet::dino/nowhere.py', 'nowhere.py cannot be read'),
        # mmengine would call pip to install it.
        ('nopackage::a.py', 'the package nopackage is not installed'),
    ],
)
def test_configs_of_packages(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(name)


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        ({'model.num_queries.x': 1}, 'num_queries.*int'),
        ({'train_dataloader.dataset.pipeline.99.type': 'x'}, '99'),
    ],
)
def test_overrides_that_do_not_fit(overrides: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=f'cfg-options do not fit.*{message}'):
        read_config(HOST, overrides)


def test_overrides_that_fit() -> None:
    cfg = read_config(HOST, {'model.num_queries': 300})
    assert (cfg.model.num_queries, cfg.model.type) == (300, 'DINO')


def test_words_that_are_settings() -> None:
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    words = '--cfg-options a.b=1 c=[(1,x),None] --cfg-options a.b=x( d='
    settings = parse_settings(parser.parse_args(words.split()).cfg_options)
    assert settings == {'a.b': 'x(', 'c': [(1, 'x'), None], 'd': ''}
    assert parse_settings(parser.parse_args([]).cfg_options) == {}


# The second is a valid list in brackets of its own; without them mmengine never ends.
@pytest.mark.parametrize('word', ['a=[(]', 'a=[1,2],[3,4]', 'a', 'a=[1,(2]', 'a=1,2)'])
def test_values_that_cannot_be_read(word: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_settings(['b=1', word])
    told = f'--cfg-options: expected KEY=VALUE [KEY=VALUE ...], got b=1 {word} (write'
    assert str(error.value).startswith(told)


def test_a_config_is_laid_out_once(monkeypatch) -> None:
    cfg, other = Config(dict(lr=1)), Config(dict(lr=2))
    texts = [cfg.pretty_text, other.pretty_text]
    calls = []

    def lay_out(text: str, **style) -> tuple[str, bool]:
        calls.append(text)
        return f'{text} laid out', True

    # OneDL's mmengine has no such function.
    monkeypatch.setattr('mmengine.config.config.FormatCode', lay_out, raising=False)
    format_configs_once()
    format_configs_once()
    told = [c.pretty_text for c in (cfg, cfg, other, other, cfg)]
    if calls:
        assert calls == ['lr=1', 'lr=2', 'lr=1']
        texts = [f'{call} laid out' for call in calls[:2]]
    assert told == [*texts[:1] * 2, *texts[1:] * 2, texts[0]]
    monkeypatch.delattr('mmengine.config.config.FormatCode')
    format_configs_once()
