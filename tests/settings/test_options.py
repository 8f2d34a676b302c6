"""Values of `--cfg-options`: mmengine's, but for text that it would change."""

import argparse

from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import DictAction

from check_each import check_each
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.settings.options import parse_settings


def mmengine_reads(word):
    settings = argparse.Namespace()
    DictAction([], 'settings')(None, settings, [word])
    return settings.settings['a']


def test_text_stays_as_it_is_written():
    def check(written, meant):
        value = parse_settings([f'a={written}'])['a']
        assert value == meant and type(value) is type(meant)

    check_each(
        check,
        [
            ("('hex bolt','lock nut')", ('hex bolt', 'lock nut')),
            ("('hex bolt', 'lock nut',)", ('hex bolt', 'lock nut')),
            ("['0','1']", ['0', '1']),
            ("('0',1,'1.0',None,'None','True')", ('0', 1, '1.0', None, 'None', 'True')),
            ('("it\'s","a, b","(c]")', ("it's", 'a, b', '(c]')),
            ("[('a b',1),['c  d']]", [('a b', 1), ['c  d']]),
            ("'a b','c'", ['a b', 'c']),
            ("'(a)','(b)'", ['(a)', '(b)']),
            ('"(a)", "[b]"', ['(a)', '[b]']),
            ("''", ''),
            ("(' a ','')", (' a ', '')),
            ("'7'", '7'),
            ('my data/images', 'my data/images'),
            ('(hex bolt, lock nut)', ('hex bolt', 'lock nut')),
            ('schöne neue Welt', 'schöne neue Welt'),
            ('a=b c', 'a=b c'),
            # What quotes around a whole list are for.
            ('"[1,2]"', [1, 2]),
            ("\"('a b','c')\"", ('a b', 'c')),
            ("it's", "it's"),
        ],
    )


PLAIN = st.text('ab01.-e[](),_', max_size=8)
LISTS = st.recursive(
    st.sampled_from(['1', '2.5', 'x', 'true', 'None', '1e-4', 'a/b.py', '']),
    lambda inner: st.builds(
        lambda parts, ends: ends[0] + ','.join(parts) + ends[1],
        st.lists(inner, min_size=1, max_size=3),
        st.sampled_from(['[]', '()', ('[ ', ' ]')]),
    ),
    max_leaves=6,
)


@given(PLAIN | LISTS | LISTS.map(lambda text: text.replace(',', ', ')))
def test_all_else_is_read_as_by_mmengine(written):
    """No quotes, and no spaces but beside commas and brackets."""
    word = f'a={written}'
    try:
        expected = mmengine_reads(word)
    except (AssertionError, RecursionError):
        try:
            parse_settings([word])
        except ConfigError:
            return
        raise AssertionError(f'{word} is refused by mmengine alone') from None
    assert repr(parse_settings([word])['a']) == repr(expected)
