"""Reads `KEY=VALUE` as mmengine does, but for text, which stays as it was written."""

import argparse
import re
from typing import Any

from mmengine.config import DictAction

from ..errors import ConfigError

# In quotes, as a whole value or between brackets and commas.
_QUOTED = re.compile(
    r'(?:^|(?<=[\[(,]))\s*([\'"])(.*?)\1(?=\s*(?:[\]),]|$))', re.DOTALL
)
_LIST_IN_QUOTES = re.compile(
    r'\s*([\'"])(\s*[\[(](?:(?!\1).)*[\])]\s*)\1\s*', re.DOTALL
)
_SPACE_IN_TEXT = re.compile(r'(?<=[^\s,\[(]) +(?=[^\s,\])])')
# What mmengine hands through as it is stands for what it would change.
_SPACE, _MARK = '\x01', '\x00'


def parse_settings(
    words: list[str] | None, option: str = '--cfg-options'
) -> dict[str, Any]:
    """Read what `--cfg-options` was given: dotted keys and their values.

    mmengine tells what a value is, and drops spaces and quotes on the way, also where
    they make a text of a number. Here text in quotes is kept to the letter, and any
    other keeps its spaces between words.

    Args:
        words: `KEY=VALUE` each.
        option: Where they come from.

    Raises:
        ConfigError: A word is no setting.
    """
    texts: list[str] = []
    settings = argparse.Namespace()
    try:
        protected = [_protect(word, texts) for word in words or ()]
        DictAction([], 'settings')(None, settings, protected)
    # Where a value is a list beside a list, mmengine never ends.
    except (AssertionError, RecursionError, ValueError) as error:
        raise ConfigError(
            f'{option}: expected KEY=VALUE [KEY=VALUE ...], got {" ".join(words)} '
            '(write a list of lists as "[[a,b],[c,d]]").'
        ) from error
    return {key: _restore(value, texts) for key, value in settings.settings.items()}


def _protect(word: str, texts: list[str]) -> str:
    """Put marks in place of what is in quotes, which is added to `texts`."""

    def mark(found: re.Match) -> str:
        texts.append(found[2])
        return f'{_MARK}{len(texts) - 1}{_MARK}'

    key, equals, value = word.partition('=')
    if in_quotes := _LIST_IN_QUOTES.fullmatch(value):
        value = in_quotes[2]
    value = _QUOTED.sub(mark, value)
    value = _SPACE_IN_TEXT.sub(lambda found: _SPACE * len(found[0]), value)
    return f'{key}{equals}{value}'


def _restore(value: Any, texts: list[str]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_restore(part, texts) for part in value)
    if not isinstance(value, str):
        return value
    if value.startswith(_MARK):
        return texts[int(value.strip(_MARK))]
    return value.replace(_SPACE, ' ')
