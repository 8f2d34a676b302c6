"""Query routing and pattern- and quality-aware queries for MMDetection's DETRs.

Importing the package registers everything into mmdet's registries, so
`custom_imports = dict(imports=['mmdet_qrpaq'], allow_failed_imports=False)` is all a
config needs. Only a script that is started with `__arguments_first__` among its
names, as those in `tools/` are, or as `python -m mmdet_qrpaq.NAME`, gets the package
without torch and registers when it knows what to do.
"""

import sys

from .version import __version__

__all__ = ['__version__', 'register']


def register() -> None:
    """Import all that registers itself; doing so again changes nothing.

    Raises:
        ImportError: mmengine, mmcv or mmdet is missing or does not fit; the message is
            one sentence with the command that mends it.
    """
    from ._compat import check_host_versions

    check_host_versions()
    from . import (  # noqa: F401
        backbones,
        evaluation,
        hosts,
        images,
        masks,
        ops,
        optim,
        patterns,
        quality,
        routing,
        runtime,
    )
    from .analysis.queries import usage_hook  # noqa: F401
    from .analysis.routing import routing_hook  # noqa: F401
    from .presets import backends  # noqa: F401


# While Python looks for the module to run, `-m` stands in place of its name.
if not hasattr(sys.modules['__main__'], '__arguments_first__') and sys.argv[:1] != [
    '-m'
]:
    register()
