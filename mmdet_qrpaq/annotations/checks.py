"""All checks of an annotation file, the plainest fault first."""

from itertools import chain

from ..finding import Finding
from .classes import category_names
from .images import image_files
from .masks import broken_masks
from .objects import boxes_beyond, more_than_queries, nothing_usable
from .reading import Annotations
from .use import Use
from .values import missing_keys, no_numbers, repeated_ids

_CHECKS = (
    missing_keys,
    no_numbers,
    repeated_ids,
    category_names,
    image_files,
    nothing_usable,
    broken_masks,
    boxes_beyond,
    more_than_queries,
)


def check_annotations(found: Annotations, use: Use) -> list[Finding]:
    """Return what is wrong with a file for a use of it, but for what can be mended."""
    return list(chain.from_iterable(check(found, use) for check in _CHECKS))
