"""Parts of a detector that training alone needs, and a published checkpoint lacks.

Detector mixins mark them; `runtime/fit.py` reads the mark, and
`tools/model/publish.py` drops what they saved.
"""

from functools import partial
from typing import NamedTuple

from torch import nn


def training_only(name: str, part: nn.Module) -> nn.Module:
    """Mark a part: checkpoints for testing may lack all of it.

    Args:
        name: The detector's attribute that holds it.
    """
    part.training_only = True
    part.register_load_state_dict_post_hook(partial(forgive_published, name))
    return part


def forgive_published(name: str, part: nn.Module, keys: NamedTuple) -> None:
    """Report no missing keys if a checkpoint holds nothing at all of the part.

    Args:
        keys: `missing_keys` and `unexpected_keys` of the whole model so far.
    """
    absent = [key for key in keys.missing_keys if f'{name}.' in key]
    if len(absent) == len(part.state_dict()):
        keys.missing_keys[:] = [key for key in keys.missing_keys if key not in absent]
