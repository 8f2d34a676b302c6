"""The detector to predict with: a checkpoint, and all that is to be known of it."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from mmdet.registry import DATASETS
from mmdet.visualization import get_palette
from mmengine.registry import init_default_scope

from ..analysis.trained_detector import TrainedModel
from ..errors import ConfigError
from ..runtime.checkpoints import force_weights_only, read_checkpoint
from ..runtime.configs import override, read_config
from ..settings.options import parse_settings
from ..settings.together import bring_together, leaf_datasets, more_colours
from .stored_config import config_of

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Model:
    """A trained detector and what it was trained on.

    Attributes:
        trained: The detector; built when first used.
        meta: Of the checkpoint.
        pipeline: Settings of its test pipeline.
        batch_size: Images at a time in a test.
        classes: Names, by label.
        colours: Red, green, blue, by label.
        is_changed: Whether another config than the checkpoint's own was asked for.
    """

    trained: TrainedModel
    meta: dict
    pipeline: list[dict]
    batch_size: int
    classes: tuple[str, ...]
    colours: list[Colour]
    is_changed: bool


def open_model(args: argparse.Namespace) -> Model:
    """Read the checkpoint and the config that a command names.

    Args:
        args: `model`, `config`, `device` and `cfg_options`.

    Raises:
        ConfigError: One cannot be read, they do not fit, or there is no such device.
    """
    force_weights_only()
    checkpoint = read_checkpoint(args.model)
    overrides = parse_settings(args.cfg_options)
    if args.config:
        cfg = read_config(args.config, overrides)
    else:
        cfg = config_of(checkpoint, args.model)
        override(cfg, overrides, '--cfg-options', args.model)
        bring_together(cfg)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise ConfigError(
            f'{cfg.filename} has no test_dataloader, whose pipeline tells how images '
            'are read; give a config that has: --config FILE.'
        )
    dataset = next(leaf for _, leaf in leaf_datasets(loader.dataset, ''))
    meta = checkpoint.get('meta') or {}
    known = {k.lower(): v for k, v in (meta.get('dataset_meta') or meta).items()}
    if 'classes' not in known:
        known = DATASETS.build(dict(dataset, lazy_init=True, pipeline=[])).metainfo
    classes = tuple(map(str, known.get('classes') or ()))
    number = (cfg.model.get('bbox_head') or {}).get('num_classes', len(classes))
    if not classes or number != len(classes):
        raise ConfigError(
            f'{args.model} is of {number} classes, and names of {len(classes)} are '
            'known; give the config that it was trained with: --config FILE.'
        )
    name = Path(args.model).stem
    config = args.config or args.model
    trained = TrainedModel(name, config, args.model, cfg, device=_device(args.device))
    palette = (dataset.get('metainfo') or {}).get('palette') or known.get('palette')
    return Model(
        trained,
        meta,
        list(dataset['pipeline']),
        loader.get('batch_size') or 1,
        classes,
        _colours(palette, len(classes)),
        is_changed=bool(args.config or args.cfg_options),
    )


def _device(name: str | None) -> str | None:
    """Check the name of a device by putting a number there."""
    try:
        torch.zeros(1, device=name)
    except (AssertionError, RuntimeError) as error:
        raise ConfigError(
            f'--device {name} cannot be used ({str(error).splitlines()[0]}); try cpu, '
            'or leave it out.'
        ) from error
    return name


def _colours(palette: object, number: int) -> list[Colour]:
    if isinstance(palette, list):
        return more_colours([*map(tuple, palette)], number)[:number]
    if isinstance(palette, str | tuple):
        return [*map(tuple, get_palette(palette, number))]
    return more_colours([], number)
