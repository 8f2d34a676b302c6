"""Query routing and pattern- and quality-aware queries for MMDetection's DETRs.

Importing the package registers everything into mmdet's registries, so
``custom_imports = dict(imports=['mmdet_qrpaq'], allow_failed_imports=False)`` is all a
config needs.
"""

from ._compat import check_host_versions
from .version import __version__

check_host_versions()

from . import hosts, masks, patterns, quality, routing, runtime  # noqa: E402  (after the check)
from .analysis.queries import usage_hook  # noqa: E402, F401  (registers)
from .analysis.routing import routing_hook  # noqa: E402, F401  (registers)

__all__ = [
    '__version__',
    'hosts',
    'masks',
    'patterns',
    'quality',
    'routing',
    'runtime',
]
