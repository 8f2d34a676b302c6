"""What the tools beside this file check before their work, not after it."""

import tempfile
from pathlib import Path

from matplotlib.backend_bases import FigureCanvasBase
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.datasets import check_dataset, leaf_datasets


def check_fraction(option: str, value: float) -> None:
    """Refuse a threshold that no score or IoU can be compared with.

    Raises:
        ConfigError: `value` is outside [0, 1].
    """
    if not 0 <= value <= 1:
        raise ConfigError(f'{option} must be between 0 and 1, got {value:g}.')


def check_data(cfg: Config, split: str) -> None:
    """Check annotations and pictures of the ``val`` or ``test`` data loader, if any.

    Raises:
        ConfigError: A file is missing or unreadable, or the classes disagree.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        return
    num_classes = (cfg.model.get('bbox_head') or {}).get('num_classes')
    for key, leaf in leaf_datasets(loader.dataset, f'{split}_dataloader.dataset'):
        check_dataset(leaf, key, num_classes)


def check_picture(path: Path) -> None:
    """Check that a picture can be written, without leaving anything behind.

    Raises:
        ConfigError: Its suffix names no format, or see `check_writable`.
    """
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().removeprefix('.') not in formats:
        raise ConfigError(
            f'no picture can be written to {path}: its suffix must be one of '
            f'{", ".join(formats)}.'
        )
    check_writable(path)


def check_writable(path: Path) -> None:
    """Check that a file can be written, without leaving anything behind.

    Raises:
        ConfigError: It cannot.
    """
    try:
        if path.exists():
            path.open('ab').close()
        else:
            above = next(
                folder for folder in path.absolute().parents if folder.exists()
            )
            tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        raise ConfigError(
            f'{path} cannot be written ({error.strerror}); choose another place.'
        ) from error
