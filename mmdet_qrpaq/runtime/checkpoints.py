"""Loads mmengine's checkpoints while `weights_only` safety stays on.

`torch.load` refuses every class it does not know. mmengine stores its log history
(`HistoryBuffer`, NumPy arrays) and best scores (NumPy scalars) beside the
weights, so exactly these join torch's allow-list when `mmdet_qrpaq` is imported.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from ..errors import ConfigError

_HISTORY_STATISTICS = ('min', 'max', 'current', 'mean')
_NUMBERS = '?bBhHiIlLqQefd'  # NumPy's codes of bool, integer and float types
_HAS_ALLOW_LIST = hasattr(torch.serialization, 'add_safe_globals')  # torch >= 2.4


def _history_statistic(owner: type, name: str) -> Any:
    """Stand in for `getattr`, which pickles `HistoryBuffer.mean` as a call.

    The real `getattr` would open every attribute of every allowed class to a
    checkpoint; mmengine needs these four functions.

    Raises:
        pickle.UnpicklingError: If anything else is asked for.
    """
    if owner is HistoryBuffer and name in _HISTORY_STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'GLOBAL builtins.getattr({owner!r}, {name!r})')


def _named(function: Callable, path: str) -> Callable:
    """Wrap `function` under the dotted name by which a checkpoint calls it.

    torch 2.4 and 2.5 know no (function, name) pairs, so the name is put on a wrapper.
    """

    def call(*args: Any) -> Any:
        return function(*args)

    call.__module__, _, call.__name__ = path.rpartition('.')
    call.__qualname__ = call.__name__
    return call


def allow_mmengine_checkpoints() -> None:
    """Put what mmengine's checkpoints contain on torch's `weights_only` allow-list.

    Nothing is done on torch < 2.4, which has no allow-list.
    """
    if not _HAS_ALLOW_LIST:
        return
    allowed = [HistoryBuffer, np.ndarray, np.dtype]
    allowed += {type(np.dtype(code)) for code in _NUMBERS}
    allowed.append(_named(_history_statistic, 'builtins.getattr'))
    array, number = np.empty(0).__reduce__()[0], np.float64().__reduce__()[0]
    # NumPy 2 renamed its core module; a checkpoint names the one that wrote it.
    for core in ('numpy.core', 'numpy._core'):
        allowed.append(_named(array, f'{core}.multiarray._reconstruct'))
        allowed.append(_named(number, f'{core}.multiarray.scalar'))
    torch.serialization.add_safe_globals(allowed)


def force_weights_only() -> None:
    """Make every `torch.load` of this process safe, also where it asks not to be.

    Plain calls are safe by themselves since torch 2.6. torch's loader of addresses
    still says `weights_only=False`, and OneDL's mmengine says it of a refused file.
    If torch's environment variable asks for the contrary, nothing is changed.
    """
    contrary = os.environ.get('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '0')
    if _HAS_ALLOW_LIST and contrary == '0':
        os.environ.setdefault('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')


def is_remote(path: str) -> bool:
    """Tell whether mmengine would fetch `path` (`https://`, `torchvision://`...)."""
    return '://' in path


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint onto the CPU, weights memory-mapped where possible.

    Args:
        path: A file, or an address that mmengine can fetch.

    Raises:
        ConfigError: If the file is missing, damaged, or holds anything but data.
    """
    if not is_remote(path) and not Path(path).is_file():
        problem = 'is a folder' if Path(path).is_dir() else 'does not exist'
        raise ConfigError(
            f'checkpoint {path} {problem}; give the path of a .pth file written by '
            'training.'
        )
    # Again: whoever has opened a file under torch's own `safe_globals` since (OneDL's
    # mmengine does) has thereby struck the same classes off the list.
    allow_mmengine_checkpoints()
    try:
        if is_remote(path):
            force_weights_only()
            checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu')
        elif _HAS_ALLOW_LIST:
            mapped = zipfile.is_zipfile(path)
            checkpoint = torch.load(path, 'cpu', weights_only=True, mmap=mapped)
        else:
            checkpoint = torch.load(path, 'cpu')
    except URLError as error:
        raise ConfigError(
            f'checkpoint {path} cannot be downloaded ({error.reason}); give the path '
            'of a local copy.'
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        names = _forbidden_globals(path, error)
        if not names:
            raise ConfigError(
                f'checkpoint {path} is damaged or was only half written; use another '
                'one (epoch_*.pth beside it) or copy it again.'
            ) from error
        raise ConfigError(
            f'checkpoint {path} is refused: it contains {", ".join(names)}, which '
            'could run code while loading; keep only its tensors (state_dict) with the '
            'program that wrote it.'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ConfigError(
            f'checkpoint {path} holds a {type(checkpoint).__name__} instead of a '
            'state_dict; give a .pth file written by training.'
        )
    return checkpoint


def _forbidden_globals(path: str, error: Exception) -> list[str]:
    """Name what torch refused: from the file, else from its message."""
    listing = getattr(torch.serialization, 'get_unsafe_globals_in_checkpoint', None)
    if listing is not None and not is_remote(path) and zipfile.is_zipfile(path):
        try:
            names = sorted(set(listing(path)))
        except Exception:  # damaged, as above
            names = []
        if names:
            return names
    return re.findall(r'GLOBAL ([\w.]+\w)', str(error))[:1]
