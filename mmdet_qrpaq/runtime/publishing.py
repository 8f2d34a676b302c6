"""A checkpoint without what only training needs, and how one is written.

For `tools/model/publish.py` and `convert.py`.
"""

from pathlib import Path

import torch

from ..errors import ConfigError
from ..records.results import require_writable_folder

TRAINING_ONLY = ('exit_heads', 'hybrid_queries')
POINTS = 'operating_points'  # as `mmdet_qrpaq.operating_points` has them
KEPT_META = ('cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version', POINTS)


def strip(checkpoint: dict, path: str) -> tuple[dict, list[str]]:
    """Return what testing needs, and which weights are gone.

    The state_dict is changed in place: it also carries the versions of its layers.

    Raises:
        ConfigError: If it holds no weights.
    """
    weights = weights_of(checkpoint, path)
    unused = [key for key in weights if part_of(key) in TRAINING_ONLY]
    for key in unused:
        del weights[key]
    meta = checkpoint.get('meta', {})
    meta = {key: meta[key] for key in KEPT_META if key in meta}
    return dict(meta=meta, state_dict=weights), unused


def weights_of(checkpoint: dict, path: str) -> dict[str, torch.Tensor]:
    """Return the state_dict of a checkpoint, which may be one itself.

    Raises:
        ConfigError: If it holds no weights.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    is_table = isinstance(weights, dict) and len(weights) > 0
    if not is_table or not all(map(torch.is_tensor, weights.values())):
        raise ConfigError(
            f'checkpoint {path} holds no state_dict; give a .pth file written by '
            'training.'
        )
    return weights


def part_of(key: str) -> str:
    """Return the name of the detector's part that a weight belongs to."""
    return key.removeprefix('module.').partition('.')[0]


def require_new(out: Path, name: str) -> None:
    """Refuse a place for a checkpoint where one is already or none can be.

    Args:
        name: The argument that gives it.

    Raises:
        ConfigError: If the name does not end in .pth, is taken, or its folder cannot be
            written.
    """
    if out.suffix != '.pth':
        raise ConfigError(f'{name} is {out}, which does not end in .pth; add that.')
    if out.exists():
        raise ConfigError(f'{out} exists already; remove it or give another name.')
    require_writable_folder(str(out.parent), name)


def write(checkpoint: dict, out: Path) -> None:
    """Write a file that is either complete or not there.

    Raises:
        ConfigError: If it cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f'{out.name}.tmp')
    try:
        with draft.open('wb') as file:
            torch.save(checkpoint, file)
        draft.replace(out)
    except OSError as error:
        raise ConfigError(
            f'{out} cannot be written ({error.strerror}); choose another place.'
        ) from error
    finally:
        draft.unlink(missing_ok=True)
