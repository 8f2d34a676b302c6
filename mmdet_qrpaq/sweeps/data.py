"""Tells data folders apart."""

from pathlib import Path

from mmengine.config import Config

from ..data.datasets import only_dataset
from ..errors import ConfigError
from ..records.provenance import hash_file


def describe_data(cfg: Config) -> dict[str, str]:
    """Return the data folder's name and short digests of its annotation files.

    The files name the images. Where the folder lies is not part of it.

    Raises:
        ConfigError: An annotation file does not exist.
    """
    root = only_dataset(cfg, 'train').get('data_root')
    described = {'folder': Path(root).absolute().name if root else ''}
    for split in ('train', 'val'):
        leaf = only_dataset(cfg, split)
        path = Path(leaf.get('data_root', ''), leaf.ann_file)
        if not path.is_file():
            raise ConfigError(
                f'annotation file {path} does not exist in {Path.cwd()}; put the data '
                'there, or name its folder.'
            )
        described[split] = hash_file(path, 16)
    return described
