"""A run is resumed with the optimizer, and the groups, that it was trained with."""

import torch
from mmengine.config import Config

from check_each import check_each
from leaves import PAPER_LEAVES, read
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.optim.checkpoint_config import require_same_optimizer
from mmdet_qrpaq.written_config import read_setting

MERGED = 'MergedOptimWrapperConstructor'
FIRST = dict(custom_keys={'layers.0': dict(lr_mult=0.1)}, norm_decay_mult=0.0)
SECOND = dict(custom_keys={'layers.1': dict(lr_mult=0.1)}, norm_decay_mult=0.0)


def config(paramwise=None, constructor=None, kind='AdamW'):
    wrapper = dict(type='OptimWrapper', optimizer=dict(type=kind, betas=(0.9, 0.99)))
    wrapper |= dict(paramwise_cfg=paramwise) if paramwise else {}
    wrapper |= dict(constructor=constructor) if constructor else {}
    return Config(dict(optim_wrapper=wrapper, other=[dict(size=float('inf'))]))


def told(was, now, groups=((0, 1), (2,))) -> str:
    """What is said of a checkpoint with the text of a config, and these groups."""
    text = was.pretty_text if isinstance(was, Config) else was
    state = dict(param_groups=[dict(params=list(group)) for group in groups])
    try:
        require_same_optimizer(dict(meta=dict(cfg=text), optimizer=state), now, 'a.pth')
    except ConfigError as error:
        return str(error)
    return ''


def test_what_mmengine_has_written_is_read_back():
    for cfg in (read(PAPER_LEAVES[0]), config(FIRST, MERGED), config()):
        expected = cfg.to_dict()['optim_wrapper']
        assert read_setting(cfg.pretty_text, 'optim_wrapper') == expected


def test_nothing_is_run_and_what_is_no_config_is_none(tmp_path):
    path = tmp_path / 'written'
    program = f"dict(optimizer=dict(type=open({str(path)!r}, 'w').name))"
    for text in (
        f'optim_wrapper = {program}',
        f'optim_wrapper = dict(**{program})',
        'optim_wrapper = dict(dict(), dict())',
        'optim_wrapper = dict(3)',
        'optim_wrapper = (',
        'optim_wrapper = ' + '(' * 9999,
        'a = 1',
        '',
        '\0',
        None,
        7,
    ):
        assert read_setting(text, 'optim_wrapper') is None
        assert told(text, config()) == ''
    assert not path.exists()


def test_another_optimizer_or_other_groups_are_refused():
    def check(name, was, now, sentence):
        found = told(was, now)
        assert sentence in found and 'a.pth was trained; set it to' in found, found

    merged = config(FIRST, MERGED)
    check_each(
        check,
        [
            (
                'kind',
                config(),
                config(kind='Adamax'),
                'optim_wrapper.optimizer.type is Adamax and was AdamW where',
            ),
            (
                'moved',
                merged,
                config(SECOND, MERGED),
                f'optim_wrapper.paramwise_cfg is {SECOND} and was {FIRST} where',
            ),
            (
                'none any more',
                merged,
                config(None, MERGED),
                f'optim_wrapper.paramwise_cfg is {{}} and was {FIRST} where',
            ),
            (
                'constructor',
                merged,
                config(FIRST),
                'optim_wrapper.constructor is DefaultOptimWrapperConstructor and was '
                f'{MERGED} where',
            ),
            (
                "someone else's",
                config(FIRST, 'LayerDecayOptimizerConstructor'),
                config(FIRST, MERGED),
                f'optim_wrapper.constructor is {MERGED} and was LayerDecay',
            ),
        ],
    )


def test_the_same_optimizer_is_taken():
    def check(name, was, now, groups=((0, 1), (2,))):
        assert told(was, now, groups) == ''

    each = [(0,), (1,), (2,)]
    check_each(
        check,
        [
            ('same', config(FIRST, MERGED), config(FIRST, f'mmdet.{MERGED}')),
            ('class', config(), config(kind='torch.optim.AdamW')),
            ('one group', config(), config(None, MERGED), [(0, 1, 2)]),
            ('a group a tensor', config(FIRST), config(FIRST, MERGED), each),
            ('other rates of tensors', config(FIRST), config(SECOND), each),
        ],
    )


def test_types_given_as_classes():
    now = config()
    now._cfg_dict.optim_wrapper.optimizer.type = torch.optim.AdamW
    assert told(config(), now) == ''
    assert 'is AdamW and was SGD' in told(config(kind='SGD'), now)
