"""What the parts of a data set are called: train, val and test."""

import re

SPLITS = ('train', 'val', 'test')
_WORDS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}


def split_named(name: str) -> str | None:
    """Return the split that a file or folder is named for, e.g. `instances_val2017`.

    The last such word counts; `None`: there is none.
    """
    words = re.findall('[a-z]+', re.sub('([a-z])([A-Z])', r'\1 \2', name).lower())
    return next((_WORDS[word] for word in reversed(words) if word in _WORDS), None)
