"""Checks that the files and classes of a dataset config are there and agree."""

import os
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from ..errors import ConfigError
from ..settings.together import leaf_datasets
from .annotations import Annotations, read_annotations
from .building import explain_mistakes
from .checkpoints import is_remote


def check_data(cfg: Config, stage: str) -> list[Annotations | None]:
    """Check the data sets of a config's loader, if it has one; see `check_dataset`."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    loader = cfg.get(f'{stage}_dataloader')
    num_classes = (cfg.model.get('bbox_head') or {}).get('num_classes')
    key = f'{stage}_dataloader.dataset'
    leaves = leaf_datasets(loader.dataset, key) if loader else ()
    return [check_dataset(leaf, key, num_classes) for key, leaf in leaves]


def check_dataset(cfg: dict, key: str, num_classes: int | None) -> Annotations | None:
    """Check one dataset config without loading the dataset.

    Args:
        cfg: A dataset config that wraps no other dataset.
        key: Its place in the config, for the messages.
        num_classes: The model's number of classes, `None` if it has none.

    Returns:
        What its annotation file names; `None` if it is not in the COCO format.

    Raises:
        ConfigError: If its type or a setting is unknown, a folder or file is missing,
            or the classes disagree.
    """
    kind = cfg.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    if kind is not None and not (
        isinstance(kind, type) and issubclass(kind, BaseDataset)
    ):
        return None  # a user's own that promises nothing
    with explain_mistakes(cfg, key):
        # lazy_init joins the paths and reads the class names, nothing else.
        dataset = DATASETS.build({**cfg, 'lazy_init': True, 'pipeline': []})
    paths = [dataset.ann_file, *dataset.data_prefix.values()]
    if cfg.get('backend_args') or any(is_remote(str(path)) for path in paths):
        return None  # not on this machine's disk
    root = cfg.get('data_root')
    if root:
        _require(root, key, 'data_root', 'folder')
    if dataset.ann_file:
        _require(dataset.ann_file, key, 'ann_file', 'file')
    for name, folder in dataset.data_prefix.items():
        if folder:
            _require(folder, key, f'data_prefix.{name}', 'folder')
    if type(dataset).load_data_list is not CocoDataset.load_data_list:
        return None
    found = read_annotations(dataset.ann_file)
    classes = dataset.metainfo['classes']
    if isinstance(classes, str):
        raise ConfigError(
            f'{key}.metainfo.classes is the text {classes!r}, not a tuple of names; '
            f'write ({classes!r},) with a comma.'
        )
    classes = tuple(classes)
    _check_classes(found, dataset.ann_file, classes, key, num_classes)
    if num_classes not in (None, len(classes)):
        raise ConfigError(
            f'model.bbox_head.num_classes is {num_classes}, but {key} has '
            f'{len(classes)} classes ({shorten(classes)}); set --cfg-options '
            f'model.bbox_head.num_classes={len(classes)}.'
        )
    if not found.file_names:
        raise ConfigError(
            f'{key}: {dataset.ann_file} lists no images; choose another ann_file.'
        )
    _check_images(found, dataset.ann_file, dataset.data_prefix.get('img', ''), key)
    if found.num_without_mask and loads_masks(cfg):
        _check_masks(cfg, dataset.ann_file, key)
    return found


def loads_masks(cfg: dict) -> bool:
    """Tell whether the pipeline of a dataset config reads the masks of objects."""
    steps = [step for step in cfg.get('pipeline', ()) if isinstance(step, dict)]
    return any(step.get('with_mask', False) for step in steps)


def shorten(names: Any, limit: int = 4) -> str:
    """Join names, the first few of a long list; quotes tell '0' from 0."""
    names = [repr(name) for name in names]
    more = '' if len(names) <= limit else f', ... {len(names) - limit} more'
    return ', '.join(names[:limit]) + more


def _require(path: str, key: str, setting: str, kind: str) -> None:
    exists = os.path.isdir(path) if kind == 'folder' else os.path.isfile(path)
    if exists:
        return
    raise ConfigError(
        f'{key}.{setting}: {kind} {path} does not exist in {Path.cwd()}; put the data '
        f'there (the usual COCO layout is data/coco/ with annotations/, train2017/ and '
        f'val2017/) or point to yours with --cfg-options {key}.data_root=FOLDER '
        f'{key}.ann_file=FILE {key}.data_prefix.img=FOLDER (and likewise for the '
        'other data loaders and evaluators).'
    )


def _check_classes(
    found: Annotations,
    path: str,
    classes: tuple[str, ...],
    key: str,
    num_classes: int | None,
) -> None:
    absent = [name for name in classes if name not in found.categories]
    if absent:
        count = len(found.categories)
        head = (
            ''
            if num_classes in (None, count)
            else (f', and model.bbox_head.num_classes={count} instead of {num_classes}')
        )
        raise ConfigError(
            f'{key}: {len(absent)} of its {len(classes)} classes ({shorten(absent)}) '
            f'are not among the {count} categories of {path} '
            f'({shorten(found.categories)}); set {key}.metainfo=dict(classes=(...)) to '
            f'the names in the file{head}.'
        )
    repeated = [name for name in classes if found.categories.count(name) > 1]
    if repeated:
        raise ConfigError(
            f'{key}: {path} has several categories with the name {repeated[0]}; merge '
            'or rename them in the file.'
        )
    in_file = tuple(name for name in found.categories if name in classes)
    if in_file != classes:
        # mmdet numbers labels in the order of the file, names in that of `classes`.
        raise ConfigError(
            f'{key}.metainfo.classes ({shorten(classes)}) is in another order than the '
            f'categories of {path} ({shorten(in_file)}), so labels would get wrong '
            "names; list the classes in the file's order."
        )


def _check_masks(cfg: dict, path: str, key: str) -> None:
    """Require masks of all objects but those that upstream leaves out."""
    dataset = DATASETS.build({**cfg, 'lazy_init': False, 'pipeline': []})
    images = [dataset.get_data_info(index) for index in range(len(dataset))]
    lacking = [
        sum('mask' not in instance for instance in image['instances'])
        for image in images
    ]
    if not any(lacking):
        return
    first = next(image for image, n in zip(images, lacking, strict=True) if n)
    raise ConfigError(
        f'{key}: its pipeline loads masks, and {sum(lacking)} objects of {path} have '
        f'no segmentation, the first in {first["img_path"]}; add polygons or RLE to '
        'them, or train without mask_branch and with_mask.'
    )


def _check_images(found: Annotations, path: str, folder: str, key: str) -> None:
    """Compare file names with folder listings, far cheaper than a stat per image."""
    listings: dict[str, set[str]] = {}
    missing = []
    for name in found.file_names:
        parent, base = os.path.split(os.path.join(folder, name))
        if parent not in listings:
            listings[parent] = (
                set(os.listdir(parent)) if os.path.isdir(parent) else set()
            )
        if base not in listings[parent]:
            missing.append(os.path.join(parent, base))
    if missing:
        raise ConfigError(
            f'{key}: {len(missing)} of the {len(found.file_names)} images listed in '
            f'{path} do not exist, the first is {missing[0]}; add them or set '
            f'{key}.data_prefix.img to their folder.'
        )
