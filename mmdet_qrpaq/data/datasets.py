"""Points the loaders and evaluators of a config to the splits of a folder."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from ..annotations.classes import shorten
from ..errors import ConfigError
from ..formats.folder import DataFolder, Split
from ..settings.decision import Decision
from ..settings.metrics import evaluators_of, is_coco
from ..settings.together import leaf_datasets, more_colours
from .facts import Facts

# What of another kind of data set still means the same in COCO's.
_KEPT = ('pipeline', 'filter_cfg', 'test_mode', 'backend_args')


def use_splits(
    cfg: Config, data: DataFolder, classes: Sequence[str], stages: Sequence[str]
) -> list[Decision]:
    """Let loaders and evaluators read a folder; augmentation stays the config's.

    Args:
        cfg: Changed in place.
        classes: Names, by label.
        stages: Of `'train'`, `'val'` and `'test'`. There being no test images, those
            of the validation are tested on.

    Raises:
        ConfigError: A split is missing, or the config joins several data sets.
    """
    cfg.data_root = os.path.join(os.path.abspath(data.folder), '')
    cfg.metainfo = dict(classes=tuple(classes), palette=more_colours([], len(classes)))
    decided = [Decision('data_root', note) for note in data.notes]
    for stage in stages:
        name = 'val' if stage == 'test' and 'test' not in data.splits else stage
        if name not in data.splits:
            raise ConfigError(
                f'{data.folder} holds no {name} images; name a folder that has some.'
            )
        _read_split(cfg, stage, data.splits[name])
        if name != stage:
            why = 'there are no others'
            what = 'tested on the validation images'
            decided.append(Decision('test_dataloader', what, why))
    number = '1 class' if len(classes) == 1 else f'{len(classes)} classes'
    return [*decided, Decision('metainfo', number, shorten(classes, 10))]


def keep_small_images(cfg: Config, facts: Facts) -> list[Decision]:
    """Train on images that the config would leave out for their size."""
    limits = only_dataset(cfg, 'train').get('filter_cfg') or {}
    least = limits.get('min_size', 0)
    smallest = min(map(min, facts.image_sizes), default=least)
    if smallest >= least:
        return []
    limits['min_size'] = smallest
    why = f'the config leaves out images below {least} pixels'
    what = f'images from {smallest} pixels on'
    return [Decision('train_dataloader', what, why)]


def only_dataset(cfg: Config, split: str) -> dict:
    """Return the one data set of a loader that wraps no other.

    Raises:
        ConfigError: There are several.
    """
    key = f'{split}_dataloader.dataset'
    leaves = list(leaf_datasets(cfg[f'{split}_dataloader'].dataset, key))
    if len(leaves) > 1:
        raise ConfigError(
            f'{key} joins {len(leaves)} data sets, and a folder is one; choose '
            'another config.'
        )
    return leaves[0][1]


def _read_split(cfg: Config, stage: str, split: Split) -> None:
    loader, evaluator = f'{stage}_dataloader', f'{stage}_evaluator'
    if stage == 'test' and not cfg.get(loader):
        cfg[loader] = copy.deepcopy(cfg.val_dataloader)
    # As a file has them: two names for one loader are two loaders.
    cfg[loader] = copy.deepcopy(cfg[loader])
    dataset = only_dataset(cfg, stage)
    if dataset.get('type') != 'CocoDataset':
        kept = {key: dataset[key] for key in _KEPT if key in dataset}
        dataset.clear()
        dataset.update(kept)
    root = Path(cfg.data_root)
    dataset.update(
        type='CocoDataset',
        data_root=cfg.data_root,
        metainfo=cfg.metainfo,
        ann_file=_below(split.ann_file, root),
        data_prefix=dict(img=os.path.join(_below(split.images, root), '')),
    )
    if stage == 'train':
        return
    metrics = [m for m in evaluators_of(cfg, stage) if is_coco(m)]
    metrics = metrics or [dict(type='CocoMetric', metric='bbox')]
    metrics = [_read_truth(metric, split, cfg.model) for metric in metrics]
    cfg[evaluator] = metrics[0] if len(metrics) == 1 else metrics


def _read_truth(metric: dict, split: Split, model: dict) -> dict:
    metric = {**metric, 'ann_file': os.path.abspath(split.ann_file)}
    if metric.get('format_only'):
        metric['format_only'] = False
    if model.get('mask_branch') and 'segm' not in metric.get('metric', ()):
        metric['metric'] = ['bbox', 'segm']
    return metric


def _below(path: Path, root: Path) -> str:
    path = Path(os.path.abspath(path))
    if not path.is_relative_to(root):
        return str(path)
    return '' if path == root else str(path.relative_to(root))
