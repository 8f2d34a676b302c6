"""Goes through config and data, the quick checks first."""

import argparse
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.config import Config

from ..annotations import Annotations
from ..annotations.images import path_of
from ..data.datasets import use_splits
from ..data.options import RunOptions
from ..data.plan import apply_options, fit
from ..data.run import CONVERTED, open_data
from ..errors import ConfigError
from ..finding import Finding, Severity
from ..formats.folder import DataFolder
from ..runtime.building import build_model
from ..runtime.configs import read_config
from ..runtime.datasets import Place
from ..runtime.examining import examine
from ..settings.options import parse_settings
from .duplicates import repeated_images
from .images import Listed, broken_images, look_at_images
from .training import (
    class_balance,
    crowded_images,
    doubtful_masks,
    learning_rate,
    object_sizes,
)

SPLITS = ('train', 'val', 'test')


def examine_run(args: argparse.Namespace) -> list[Finding]:
    """Return what is wrong with a run, the worst first.

    Args:
        args: What the command line says.
    """
    if not args.config and not args.data:
        return []
    with tempfile.TemporaryDirectory() as folder:
        try:
            findings = _examine(args, Path(folder))
        except ConfigError as error:
            place = args.data or args.config
            sentence = str(error).rstrip('.')
            finding = Finding(
                Severity.ERROR, 'refused', place, sentence, 'the rest is seen then'
            )
            return [finding]
    # What was converted is gone by now.
    findings = [_without(finding, f'{folder}/{CONVERTED}/') for finding in findings]
    return sorted(findings, key=lambda finding: -finding.severity)


def _examine(args: argparse.Namespace, folder: Path) -> list[Finding]:
    data = open_data(args, folder) if args.data else None
    devices = max(1, torch.cuda.device_count())
    findings = []
    if args.config:
        cfg, options = read_config(args.config), RunOptions.of(args)
        settings = parse_settings(args.cfg_options)
        if data is not None:
            fit(cfg, data, options, devices, settings)
        else:
            apply_options(cfg, options, settings)
        build_model(cfg)
        if options.lr is None:
            findings += learning_rate(cfg, devices)
    else:
        cfg = _config_of(data)
    examined = examine(cfg, SPLITS, headers=0)
    findings += examined.findings
    read = examined.read
    splits = {}
    for place in examined.places:
        split = place.use.key.partition('_')[0]
        found = read[place.path]
        if not place.use.judged:
            splits.setdefault(split, (found, place))
            if place.use.learned:
                findings += object_sizes(found, place, cfg)
        else:
            findings += crowded_images(found, place)
    findings += class_balance(splits)
    if not args.config:
        findings += doubtful_masks(*splits['train'])
    missing = {'image-missing', 'image-empty', 'no-images'}
    if not missing & {finding.kind for finding in findings}:
        looks = look_at_images([*_listed(examined.places, read)])
        findings += broken_images(looks) + repeated_images(looks)
    return [*dict.fromkeys(findings)]


def _listed(places: Iterable[Place], read: dict[str, Annotations]) -> Iterable[Listed]:
    """Yield every image of the data sets; a file read by two is told as a whole."""
    seen = set()
    for place in places:
        source = place.path, place.use.folder
        if place.use.judged or place.use.folder is None or source in seen:
            continue
        seen.add(source)
        found = read[place.path]
        split = place.use.key.partition('_')[0]
        for row, size in enumerate(found.sizes.tolist()):
            yield Listed(
                split, path_of(found, place.use.folder, row), place.path, tuple(size)
            )


def _without(finding: Finding, prefix: str) -> Finding:
    place, what = (text.replace(prefix, '') for text in (finding.place, finding.what))
    return replace(finding, place=place, what=what)


def _config_of(data: DataFolder) -> Config:
    """Return a config that holds data and no model."""
    cfg = Config(dict(model={}))
    stages = [split for split in SPLITS if split in data.splits]
    for stage in stages:
        dataset = dict(type='CocoDataset', pipeline=[])
        if stage == 'train':
            dataset['filter_cfg'] = dict(filter_empty_gt=True, min_size=0)
        else:
            dataset['test_mode'] = True
        cfg[f'{stage}_dataloader'] = dict(dataset=dataset)
    use_splits(cfg, data, data.classes, stages)
    return cfg
