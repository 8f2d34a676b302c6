"""What every run needs around the model: safe checkpoints, exact resume, checks.

Importing this makes mmengine's checkpoints loadable under `weights_only` and
registers `ReproducibleRandomness`; `cli` and `preflight` are for the
tools and imported by them.
"""

from .checkpoints import allow_mmengine_checkpoints
from .randomness import ReproducibleRandomness

allow_mmengine_checkpoints()

__all__ = ['ReproducibleRandomness', 'allow_mmengine_checkpoints']
