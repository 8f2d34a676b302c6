"""The config of a run: as it is given, or fitted to a folder of images."""

import argparse
import copy
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.logging import print_log

from ..annotations.classes import shorten
from ..errors import ConfigError
from ..formats.folder import DataFolder, open_folder
from ..presets.applying import apply_presets
from ..records.results import write_whole
from ..runtime.checkpoints import read_checkpoint
from ..runtime.cli import on_main_process, run_config, start_processes
from ..runtime.configs import override, read_config
from ..settings.decision import Decision
from ..settings.options import parse_settings
from .datasets import use_splits
from .leaf import difference, leaf_name, leaf_text, name_of_base
from .model import set_num_classes
from .options import RunOptions
from .plan import apply_options, fit, tell

CONVERTED = 'coco'  # in the work folder: COCO files of what is not COCO
_ROOT = re.compile('^data_root = (.+)$', re.MULTILINE)  # in a leaf


def training_config(args: argparse.Namespace) -> Config:
    """Return the config of a training, its processes started.

    With `--data` it is a leaf that was written into the work folder.

    Raises:
        ConfigError: Config, options or data cannot work.
    """
    options = RunOptions.of(args)
    stages = ('train', 'val')
    if not args.data:
        cfg = run_config(args, stages)
        decided = apply_options(cfg, options, parse_settings(args.cfg_options))
        start_processes(cfg)
        _tell_presets(args.config, decided)
        return cfg
    cfg = run_config(args, stages, leaf_name(args.config, args.data))
    start_processes(cfg)
    leaf = on_main_process(
        _write_leaf, args, Path(cfg.work_dir), options, get_world_size()
    )
    # What the options say is in the leaf.
    args.config, args.cfg_options, args.work_dir = str(leaf), None, cfg.work_dir
    cfg = run_config(args, stages)
    decided = apply_presets(cfg)  # of its own, as somebody has put them there
    start_processes(cfg)
    _tell_presets(args.config, decided)
    return cfg


def testing_config(args: argparse.Namespace) -> Config:
    """Return the config of a test, its processes started.

    With `--data` the images of that folder are tested on; the model stays. With
    `--split val` the validation's are.

    Raises:
        ConfigError: Config or data cannot work, or the checkpoint has other classes.
    """
    cfg = run_config(args, ('test',))
    start_processes(cfg)
    validates = cfg.get('val_dataloader') and cfg.get('val_evaluator')
    if args.split == 'val' and not validates:
        raise ConfigError(
            f'config {args.config} has no val_dataloader and val_evaluator, which '
            '--split val tests; leave it out.'
        )
    if args.data:
        data = on_main_process(open_data, args, Path(cfg.work_dir), False)
        classes = _classes_of(args.checkpoint, data)
        stages = {args.split}
        if args.report is not None and validates and 'val' in data.splits:
            stages.add('val')
        use_splits(cfg, data, classes, sorted(stages))
        set_num_classes(cfg, len(classes))
        override(cfg, parse_settings(args.cfg_options), '--cfg-options', args.config)
    if args.split == 'val':
        cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    return cfg


def open_data(
    args: argparse.Namespace, work_dir: Path, for_training: bool = True
) -> DataFolder:
    """Open the folder that `--data` names; what has to be converted is written.

    Args:
        for_training: Require train images. A test keeps its copies apart from those
            that a training in the same work folder reads.

    Raises:
        ConfigError: It is in no known layout, or broken.
    """
    name = CONVERTED if for_training else f'{CONVERTED}_{leaf_name("test", args.data)}'
    return open_folder(
        Path(args.data),
        work_dir / name,
        crowd_as_objects=args.crowd_as_objects,
        for_training=for_training,
    )


def write_leaf(
    config: str,
    data: DataFolder,
    leaf: Path,
    options: RunOptions,
    cfg_options: list[str] | None = None,
    devices: int = 1,
) -> Path:
    """Fit a config to a data set, say what was decided, and write it as a leaf.

    Args:
        config: A path, or `package::path`.
        leaf: The file.
        cfg_options: Settings that come last.

    Raises:
        ConfigError: The config cannot be fitted, or would replace a leaf that differs
            or is for another folder.
    """
    base = read_config(config)
    fitted = copy.deepcopy(base)
    decided = fit(fitted, data, options, devices, parse_settings(cfg_options))
    tell(config, decided)
    text = leaf_text(base, name_of_base(base.filename, leaf), fitted, decided)
    if leaf.is_file():
        _require_same(leaf, text, fitted)
    write_whole(leaf, text)
    print_log(f'The run is {leaf}')
    return leaf


def _tell_presets(config: str, decided: list[Decision]) -> None:
    if decided and is_main_process():
        tell(config, decided, 'with presets')


def _write_leaf(
    args: argparse.Namespace, work_dir: Path, options: RunOptions, devices: int
) -> Path:
    data = open_data(args, work_dir)
    leaf = work_dir / f'{leaf_name(args.config, args.data)}.py'
    return write_leaf(
        *(args.config, data, leaf, options, args.cfg_options),
        devices=devices,
    )


def _require_same(leaf: Path, text: str, fitted: Config) -> None:
    """Refuse to replace a leaf by one that decides otherwise."""
    before = leaf.read_text(encoding='utf-8')
    if before == text:
        return
    roots = [_ROOT.findall(content) for content in (before, text)]
    if all(roots) and roots[0] != roots[1]:
        raise ConfigError(
            f'{leaf} is for the data in {roots[0][0]}, and is not replaced; choose '
            'another --out or --work-dir.'
        )
    if changes := _first_changes(read_config(str(leaf)), fitted):
        raise ConfigError(
            f'{leaf} differs from what --data decides now: {changes}; train or resume '
            'that file in place of CONFIG and --data, remove it to decide anew, or '
            'choose another --out or --work-dir.'
        )


def _classes_of(checkpoint: str, data: DataFolder) -> tuple[str, ...]:
    """Return the classes of a checkpoint, by label; the folder's if it tells none."""
    meta = read_checkpoint(checkpoint).get('meta') or {}
    classes = tuple((meta.get('dataset_meta') or {}).get('classes') or data.classes)
    if set(classes) != set(data.classes):
        raise ConfigError(
            f'{checkpoint} was trained on the classes {shorten(classes)}, and '
            f'{data.folder} has {shorten(data.classes)}; test it on a folder with the '
            'same names.'
        )
    return classes


def _first_changes(before: Config, now: Config, most: int = 3) -> str:
    """Name settings that differ, with both values."""
    flat = _flat(difference(before.to_dict(), now.to_dict()))
    told = []
    for key, value in list(flat.items())[:most]:
        found = before.to_dict()
        for part in key.split('.'):
            found = found.get(part) if isinstance(found, dict) else None
        both = f'{key} is {found} there and {value} now'
        told.append(both if len(both) < 120 else f'{key} is another')
    return ', '.join(told) + (' ...' if len(flat) > most else '')


def _flat(settings: dict, place: str = '') -> dict:
    found = {}
    for key, value in settings.items():
        inner = isinstance(value, dict) and value
        found.update(_flat(value, f'{place}{key}.') if inner else {place + key: value})
    return found
