"""COCO files: read in seconds, looked through for faults by kind, and mended in copies.

Nothing here needs torch, mmdet or a config.
"""

from .checks import check_annotations
from .copies import write_mended
from .mends import Mend, find_mends
from .reading import Annotations, read_annotations
from .use import Use

__all__ = [
    'Annotations',
    'Mend',
    'Use',
    'check_annotations',
    'find_mends',
    'read_annotations',
    'write_mended',
]
