"""What the parts of a data set are called: train, val and test."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

SPLITS = ('train', 'val', 'test')
_WORDS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}
_TELL_NOTHING = (
    *('images', 'image', 'img', 'imgs', 'labels', 'annotations'),
    *('data', 'dataset', 'set', 'split', 'obj'),
)
VAL_SHARE = 0.2  # of the images, where there is no val split
_VARIANT = re.compile(r'\.rf\.[0-9A-Za-z]+$')  # Roboflow's mark of an altered copy


def split_named(name: str) -> str | None:
    """Return the split that a file is named for, e.g. `instances_val2017`.

    The last such word counts; `None`: there is none.
    """
    words = _words(name)
    return next((_WORDS[word] for word in reversed(words) if word in _WORDS), None)


def split_of_folder(path: str) -> str | None:
    """Return the split that a folder, or one around it, is named for.

    Its whole name counts, but for a number and words that tell nothing: `train2017` or
    `val_images`, not `crash_test`. The innermost counts; `None`: there is none.
    """
    for part in reversed(PurePosixPath(path).parts):
        telling = [word for word in _words(part) if word not in _TELL_NOTHING]
        if len(telling) == 1 and telling[0] in _WORDS:
            return _WORDS[telling[0]]
    return None


def _words(name: str) -> list[str]:
    return re.findall('[a-z]+', re.sub('([a-z])([A-Z])', r'\1 \2', name).lower())


def choose_val(names: Iterable[str]) -> set[str]:
    """Choose images for val by a hash of their names: the same in every run.

    A fifth of a large set is chosen, of a small one at least one image, never all. An
    image stays where it is when others come. Copies of one image that Roboflow altered
    stay together.

    Args:
        names: Paths of the images; folders do not count.
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        stem = _VARIANT.sub('', PurePosixPath(name).stem)
        groups.setdefault(hashlib.sha256(stem.encode()).hexdigest(), set()).add(name)
    if len(groups) < 2:
        return set()
    limit = int(VAL_SHARE * 16**8)
    first, *others = sorted(groups)
    chosen = [first, *(key for key in others[:-1] if int(key[:8], 16) < limit)]
    return set().union(*(groups[key] for key in chosen))
