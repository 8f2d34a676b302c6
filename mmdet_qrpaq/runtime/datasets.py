"""Checks that the files and classes of a config's data sets are there and agree."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from ..annotations import Use
from ..annotations.classes import shorten
from ..errors import ConfigError
from ..settings.metrics import evaluators_of
from ..settings.together import leaf_datasets
from .building import explain_mistakes
from .checkpoints import is_remote


@dataclass(frozen=True)
class Place:
    """Where a config names a COCO file.

    Attributes:
        path: The file.
        use: What a run does with it there; `use.key` is the dict that has `ann_file`.
    """

    path: str
    use: Use


def loads_masks(cfg: dict) -> bool:
    """Tell whether the pipeline of a dataset config reads the masks of objects."""
    steps = [step for step in cfg.get('pipeline', ()) if isinstance(step, dict)]
    return any(step.get('with_mask', False) for step in steps)


def annotation_places(cfg: Config, stages: Iterable[str]) -> list[Place]:
    """Return where a config names COCO files: data sets, then evaluators, by stage.

    Each is checked as far as that goes without opening its file.

    Raises:
        ConfigError: If a type or a setting is unknown, a folder or file is missing, or
            the number of classes is not the model's.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    places = []
    for stage in stages:
        loader = cfg.get(f'{stage}_dataloader')
        if not loader:
            continue
        leaves = leaf_datasets(loader.dataset, f'{stage}_dataloader.dataset')
        found = [_dataset_place(leaf, key, cfg, stage) for key, leaf in leaves]
        places += filter(None, found)
        if None not in found and stage != 'train':
            places += _evaluator_places(cfg, stage, found[0].use)
    return places


def _dataset_place(cfg: dict, key: str, run: Config, stage: str) -> Place | None:
    """Return the place of one data set; `None` if its file is not in COCO's format."""
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
    _require_files(cfg, dataset, key)
    if any(
        getattr(type(dataset), method) is not getattr(CocoDataset, method)
        for method in ('load_data_list', 'parse_data_info')
    ):
        return None
    filtered = {} if dataset.test_mode else dataset.filter_cfg or {}
    return Place(
        dataset.ann_file,
        Use(
            key,
            _classes(dataset.metainfo['classes'], key, run),
            folder=dataset.data_prefix.get('img', ''),
            learned=stage == 'train',
            masks=loads_masks(cfg),
            min_size=filtered.get('min_size', 0),
            only_annotated=filtered.get('filter_empty_gt', False),
            queries=run.model.get('num_queries'),
            partly=cfg.get('indices') is not None,
        ),
    )


def _evaluator_places(cfg: Config, stage: str, data: Use) -> Iterator[Place]:
    """Yield the files that the metrics of a stage compare with, if they are COCO's."""
    evaluator = cfg.get(f'{stage}_evaluator')
    for index, metric in enumerate(evaluators_of(cfg, stage)):
        key = f'{stage}_evaluator'
        if not isinstance(evaluator, dict):
            key = f'{key}.{index}'
        path = metric.get('ann_file')
        if not path or metric.get('backend_args') or is_remote(path):
            continue
        if not os.path.isfile(path):
            raise ConfigError(
                f'{key}.ann_file: file {path} does not exist; set it to the ann_file '
                f'of the data loader (--cfg-options {key}.ann_file=FILE).'
            )
        kind = metric.get('type')
        kind = METRICS.get(kind) if isinstance(kind, str) else kind
        own = getattr(kind, 'compute_metrics', None)
        if own is not CocoMetric.compute_metrics or metric.get('format_only'):
            continue
        _require_hundred(metric, key)
        yield Place(
            path,
            replace(
                data,
                key=key,
                learned=False,
                judged=True,
                partly=False,
                masks='segm' in (metric.get('metric') or ()),
            ),
        )


def _require_files(cfg: dict, dataset: BaseDataset, key: str) -> None:
    if cfg.get('data_root'):
        _require(cfg['data_root'], key, 'data_root', 'folder')
    if dataset.ann_file:
        _require(dataset.ann_file, key, 'ann_file', 'file')
    for name, folder in dataset.data_prefix.items():
        if folder:
            _require(folder, key, f'data_prefix.{name}', 'folder')


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


def _require_hundred(metric: dict, key: str) -> None:
    limits = list(metric.get('proposal_nums') or [100])
    if 100 not in limits:
        raise ConfigError(
            f'{key}.proposal_nums is {limits}, and AP is that of 100 detections an '
            'image: put 100 first, without it AP is -1.'
        )


def _classes(classes: Any, key: str, run: Config) -> tuple[str, ...]:
    """Return the classes of a data set, which are as many as the model's."""
    if isinstance(classes, str):
        raise ConfigError(
            f'{key}.metainfo.classes is the text {classes!r}, not a tuple of names; '
            f'write ({classes!r},) with a comma.'
        )
    num_classes = (run.model.get('bbox_head') or {}).get('num_classes')
    if num_classes not in (None, len(classes)):
        raise ConfigError(
            f'model.bbox_head.num_classes is {num_classes}, but {key} has '
            f'{len(classes)} classes ({shorten(classes)}); set --cfg-options '
            f'model.bbox_head.num_classes={len(classes)}.'
        )
    return tuple(classes)
