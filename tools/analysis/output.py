"""The two files that ``--out`` of the tools beside this file names."""

from pathlib import Path

from checks import check_picture

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.checkpoints import is_remote


def output_files(out: Path | None, name: str, folder: Path) -> tuple[Path, Path]:
    """Return where numbers and picture go, after checking that they can be written.

    Args:
        out: Value of ``--out``, if given.
        name: Stem of the files without ``--out``.
        folder: Folder of the files without ``--out``.

    Raises:
        ConfigError: ``--out`` does not end in .json, nothing can be written there, or
            it is needed: an address has no folder.
    """
    if out is None and is_remote(str(folder)):
        raise ConfigError(f'there is no folder beside {folder}; say where with --out.')
    numbers = out or folder / f'{name}.json'
    if numbers.suffix != '.json':
        raise ConfigError(f'--out is {numbers}, which does not end in .json; add that.')
    picture = numbers.with_suffix('.png')
    check_picture(picture)
    return numbers, picture
