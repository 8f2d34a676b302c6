"""A checkpoint without what only training needs; for `tools/model/publish.py`."""

from pathlib import Path

import torch

from ..errors import ConfigError

TRAINING_ONLY = ('exit_heads', 'hybrid_queries')
KEPT_META = ('cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version')


def strip(checkpoint: dict, path: str) -> tuple[dict, list[str]]:
    """Return what testing needs, and which weights are gone.

    The state_dict is changed in place: it also carries the versions of its layers.

    Raises:
        ConfigError: If it holds no weights.
    """
    weights = checkpoint['state_dict']
    is_table = isinstance(weights, dict) and len(weights) > 0
    if not is_table or not all(map(torch.is_tensor, weights.values())):
        raise ConfigError(
            f'checkpoint {path} holds no state_dict; give a .pth file written by '
            'training.'
        )
    unused = [key for key in weights if part_of(key) in TRAINING_ONLY]
    for key in unused:
        del weights[key]
    meta = checkpoint.get('meta', {})
    meta = {key: meta[key] for key in KEPT_META if key in meta}
    return dict(meta=meta, state_dict=weights), unused


def part_of(key: str) -> str:
    """Return the name of the detector's part that a weight belongs to."""
    return key.removeprefix('module.').partition('.')[0]


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
