"""Files that a measurement writes, whole or not at all, and reads again.

The file of an analysis says what the numbers were made from:

    {"tool": "query_usage", "origin": {"command": ..., "versions": ..., ...},
     "numbers": {...}}
"""

import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file and its folder, whole or not at all; return its path.

    Args:
        content: Text (written as UTF-8) or bytes.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'{path.name}.tmp')
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def write_figure(path: Path, figure: 'Figure', dpi: int) -> Path:
    """Write a figure as PNG, whole or not at all; return its path."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format='png', dpi=dpi, facecolor='white')
    return write_whole(path, drawn.getvalue())


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file and its folder, whole or not at all; return its path.

    Raises:
        ValueError: There is a NaN or an infinity in it, which is no JSON: browsers and
            other languages refuse it.
    """
    return write_whole(path, json.dumps(content, indent=1, allow_nan=False) + '\n')


def check_writable(path: Path, suffix: str = '') -> None:
    """Check that a file can be written, without leaving anything behind.

    Args:
        suffix: Which it must have, if any.

    Raises:
        ConfigError: It cannot.
    """
    if suffix and path.suffix != suffix:
        raise ConfigError(f'--out is {path}, which does not end in {suffix}; add that.')
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


def require_writable_folder(folder: str, name: str) -> None:
    """Refuse a folder that cannot be made or written; nothing is made yet.

    Args:
        name: Of the setting that names it.

    Raises:
        ConfigError: If it is a file, lies below one, or is not writable.
    """
    existing = Path(folder).absolute()
    while not os.path.exists(existing):  # Path.exists raises where it may not look
        existing = existing.parent
    problem = None if existing.is_dir() else 'is no folder'
    if not problem:
        try:  # what may be written says little of /proc, or of a full disk
            tempfile.TemporaryFile(dir=existing).close()
        except OSError:
            problem = 'is not writable'
    if problem:
        raise ConfigError(f'{name} {folder}: {existing} {problem}; choose another.')
