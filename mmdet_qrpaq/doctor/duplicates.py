"""Finds images that are there twice: in a split, or in two that must not share any."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from ..finding import Finding, Severity
from .images import Look, thumbnail

# Two images look alike if their hashes differ in so many of 64 bits at most, and no
# cell of 64 x 64 by more than the standard deviation of all of them. Written anew as
# JPEG or at half the size an image stays below 0.8, the next frame of a film is above
# 1.8.
HASH_BITS = 3
MOST_DIFFERENT = 1.0
_SIDE = 64
_BANDS = 4  # with three bits different, one of four bands is the same
_NEIGHBOURS = 50  # of an image in a band that are compared with it


def repeated_images(looks: Iterable[Look]) -> list[Finding]:
    """Find images with the same bytes, and then those that look alike."""
    by_content = defaultdict(list)
    for look in looks:
        if not look.problem:
            by_content[look.content].append(look)
    same = [pair for group in by_content.values() for pair in _repeats(group)]
    # One of each content is compared with the others, unless two splits have it.
    distinct = [group[0] for group in by_content.values()]
    alike = list(_alike(distinct))
    findings = []
    for pairs, what, kind in (
        (same, 'the same file as', 'same'),
        (alike, 'the same to the eye as', 'alike'),
    ):
        across = [pair for pair in pairs if pair[0].image.split != pair[1].image.split]
        within = [pair for pair in pairs if pair[0].image.split == pair[1].image.split]
        findings += _tell(
            across,
            f'leak-{kind}',
            what,
            Severity.WARNING,
            'leave it out of one of them: a result on images that were learned is too '
            'good',
        )
        severity = Severity.WARNING if kind == 'same' else Severity.NOTE
        findings += _tell(
            within,
            f'duplicate-{kind}',
            what,
            severity,
            'keep one of them: both count, in training and in a result',
        )
    return findings


def _tell(
    pairs: list[tuple[Look, Look]],
    kind: str,
    what: str,
    severity: Severity,
    remedy: str,
) -> list[Finding]:
    if not pairs:
        return []
    first, second = (look.image for look in pairs[0])
    count = len({second.image for _, second in pairs})
    more = f' ({count - 1} more images are repeated)' if count > 1 else ''
    text = f'{what} {second.path} ({second.split}){more}'
    place = f'{first.path} ({first.split})'
    return [Finding(severity, kind, place, text, remedy, count)]


def _repeats(group: list[Look]) -> Iterator[tuple[Look, Look]]:
    """Yield each image with the first of all, and with the first of its split."""
    # A file counts once for each split that lists it.
    once = {(look.image.split, look.image.path): look for look in group}
    first, firsts = next(iter(once.values())), {}
    for look in once.values():
        own = firsts.setdefault(look.image.split, look)
        for earlier in dict.fromkeys((first, own)):
            if earlier is not look:
                yield earlier, look


def _alike(looks: list[Look]) -> Iterator[tuple[Look, Look]]:
    """Yield an image with the first of a split that it looks like."""
    found = set()
    for first, second in _near(looks):
        key = second.image, first.image.split
        if key not in found and _are_alike(first, second):
            found.add(key)
            yield first, second


def _near(looks: list[Look]) -> Iterator[tuple[Look, Look]]:
    """Yield pairs whose hashes differ in few bits, each once."""
    width = 64 // _BANDS
    seen = set()
    for band in range(_BANDS):
        buckets = defaultdict(list)
        for index, look in enumerate(looks):
            buckets[look.pattern >> (band * width) & ((1 << width) - 1)].append(index)
        for bucket in buckets.values():
            for place, first in enumerate(bucket):
                for second in bucket[place + 1 : place + 1 + _NEIGHBOURS]:
                    differing = looks[first].pattern ^ looks[second].pattern
                    if (
                        differing.bit_count() <= HASH_BITS
                        and (first, second) not in seen
                    ):
                        seen.add((first, second))
                        yield looks[first], looks[second]


def _are_alike(first: Look, second: Look) -> bool:
    one, other = (thumbnail(look.image.path, _SIDE) for look in (first, second))
    spread = max(one.std(), other.std())
    # An even image has nothing by which to tell it.
    return bool(np.abs(one - other).max() <= MOST_DIFFERENT * spread and spread > 1)
