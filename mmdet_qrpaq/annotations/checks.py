"""All checks of an annotation file, the plainest fault first."""

from itertools import chain

from ..finding import Finding
from .classes import category_names
from .images import fill_sizes, image_files
from .masks import broken_masks
from .objects import boxes_beyond, more_than_queries, no_image_left, nothing_usable
from .reading import Annotations
from .use import Use
from .values import doubtful_ids, missing_keys, no_numbers, repeated_images

_CHECKS = (
    missing_keys,
    no_numbers,
    doubtful_ids,
    repeated_images,
    category_names,
    image_files,
    nothing_usable,
    no_image_left,
    broken_masks,
    boxes_beyond,
    more_than_queries,
)


def check_annotations(found: Annotations, use: Use) -> list[Finding]:
    """Return what is wrong with a file for a use of it, but for what can be mended."""
    fill_sizes(found, use)
    return list(chain.from_iterable(check(found, use) for check in _CHECKS))
