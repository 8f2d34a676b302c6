"""Point a config to any folder in the COCO format; tell folders apart."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..annotations import read_annotations
from ..errors import ConfigError
from ..records.provenance import hash_file
from ..runtime.configs import evaluators_of
from ..runtime.datasets import leaf_datasets

# A split's annotation file and images: all in one folder, or as docs/data.md has it.
ANNOTATIONS = ('instances_{}.json', 'annotations/instances_{}.json')
IMAGES = ('{}/', 'images/')


def use_data(cfg: Config, folder: str) -> None:
    """Train and evaluate on a folder: files, classes and their number, evaluators.

    The folder holds `instances_train.json` and `instances_val.json`, or both below
    `annotations/`; images lie in `images/`, or in `train/` and `val/`. Augmentation
    stays the config's.

    Args:
        cfg: Changed in place. The test set becomes the validation set.

    Raises:
        ConfigError: The folder lacks a file, or the config joins several data sets.
    """
    splits = {split: _split(Path(folder), split) for split in ('train', 'val')}
    classes = read_annotations(str(Path(folder, splits['train']['ann_file']))).names
    for split, files in splits.items():
        only_dataset(cfg, split).update(
            type='CocoDataset',
            data_root=f'{folder}/',
            metainfo=dict(classes=classes),
            **files,
        )
    _set_num_classes(cfg.model, len(classes))
    for metric in evaluators_of(cfg, 'val'):
        if metric.type != 'CocoMetric':
            raise ConfigError(
                'other data needs the COCO metric, and val_evaluator is a '
                f'{metric.type}; choose another config.'
            )
        metric.ann_file = f'{folder}/{splits["val"]["ann_file"]}'


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


def _split(folder: Path, split: str) -> dict[str, Any]:
    """Return `ann_file` and `data_prefix` of a split, below the folder."""
    found = {}
    for what, names in (('annotation file', ANNOTATIONS), ('images', IMAGES)):
        names = [name.format(split) for name in names]
        found[what] = next((name for name in names if (folder / name).exists()), None)
        if found[what] is None:
            raise ConfigError(
                f'data {folder}: there are no {split} {what}: expected '
                f'{" or ".join(names)} in that folder (docs/data.md).'
            )
    return dict(
        ann_file=found['annotation file'], data_prefix=dict(img=found['images'])
    )


def only_dataset(cfg: Config, split: str) -> dict:
    """Return the one data set of a loader that wraps no other."""
    key = f'{split}_dataloader.dataset'
    leaves = list(leaf_datasets(cfg[f'{split}_dataloader'].dataset, key))
    if len(leaves) > 1:
        raise ConfigError(
            f'{key} joins {len(leaves)} data sets, and a sweep handles one; choose '
            'another config.'
        )
    return leaves[0][1]


def _set_num_classes(model: dict, num_classes: int) -> None:
    """Set it in every head; the denoising generator takes it from there."""
    for name, part in model.items():
        if not isinstance(part, dict):
            continue
        if name.endswith('head') and 'num_classes' in part:
            part.num_classes = num_classes
        _set_num_classes(part, num_classes)
