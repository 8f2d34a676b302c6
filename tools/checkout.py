"""Finds ``mmdet_qrpaq``, or says what it lacks; for tools that have their arguments.

A checkout works without being installed; an installed copy of the tools finds the
installed package.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

try:
    import mmdet_qrpaq  # noqa: F401
except ImportError as error:
    if error.name is not None:  # Python's own: a bug, which keeps its traceback
        raise
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
