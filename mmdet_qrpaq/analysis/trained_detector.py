"""A trained detector and its data loader, built from a config and a checkpoint."""

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..errors import ConfigError
from ..records.provenance import hash_file, hash_text
from ..runtime.building import build_model, build_untrained, explain_mistakes
from ..runtime.checkpoints import is_remote, read_checkpoint
from ..runtime.configs import read_config
from ..runtime.fit import require_finite, require_same_model
from ..settings.metrics import evaluators_of
from ..settings.options import parse_settings

UNTRAINED = 'none'


@dataclass
class TrainedModel:
    """A trained detector with the images its config names; built when first used.

    Attributes:
        name: In tables and legends.
        config: As the user gave it.
        checkpoint: As the user gave it; `UNTRAINED` for random weights.
        cfg: The config, read.
        split: `'val'` or `'test'`.
        device: Where it runs; `None`: on the GPU if there is one.
    """

    name: str
    config: str
    checkpoint: str
    cfg: Config
    split: str = 'val'
    device: str | None = None

    @cached_property
    def detector(self) -> nn.Module:
        """In eval mode, on its device; with random weights if it is untrained.

        Raises:
            ConfigError: The checkpoint is missing, damaged, of another model or of a
                training that diverged.
        """
        if self.is_untrained:
            detector = build_untrained(self.cfg)
        else:
            stored = read_checkpoint(self.checkpoint)
            detector = build_model(self.cfg)
            name = str(self.cfg.filename)
            require_same_model(detector, stored, self.checkpoint, name)
            load_checkpoint(detector, self.checkpoint, map_location='cpu')
            require_finite(detector, self.checkpoint)
        device = self.device or ('cuda' if torch.cuda.is_available() else 'cpu')
        return revert_sync_batchnorm(detector).to(device).eval()

    @property
    def is_untrained(self) -> bool:
        """Whether it has no checkpoint: its weights are random."""
        return self.checkpoint == UNTRAINED

    @cached_property
    def dataloader(self) -> DataLoader:
        """Of the config; it has at least one image.

        Raises:
            ConfigError: The config has none, it cannot be built, its files do not
                exist, or there is no image.
        """
        key = f'{self.split}_dataloader'
        settings = self.cfg.get(key)
        if not settings:
            raise ConfigError(f'{self.cfg.filename} has no {key}; add one.')
        init_default_scope(self.cfg.get('default_scope', 'mmdet'))
        try:
            with explain_mistakes(settings, key):
                dataloader = Runner.build_dataloader(settings, seed=0)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f'{key} cannot be built: {error}') from error
        except FileNotFoundError as error:
            raise ConfigError(
                f'{key}: {error.filename} does not exist; mend data_root or ann_file '
                f'(--cfg-options {key}.dataset.data_root=FOLDER).'
            ) from error
        if len(dataloader.dataset) == 0:
            raise ConfigError(
                f'{key} of {self.config} has no images; mend its ann_file.'
            )
        return dataloader

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by label."""
        return list(self.dataloader.dataset.metainfo['classes'])

    @cached_property
    def origin(self) -> dict[str, str]:
        """What a result records of it, and hashes that tell model and data from others.

        Images are told by what data set and evaluator know of them, not by pixels.
        """
        settings = json.dumps(self.cfg.to_dict(), default=str, sort_keys=True)
        weights = 'none'
        if not self.is_untrained:
            path = self.checkpoint
            weights = 'not here' if is_remote(path) else hash_file(Path(path))
        dataset = self.dataloader.dataset
        known = [dataset.get_data_info(image) for image in range(len(dataset))]
        metrics = evaluators_of(self.cfg, self.split)
        files = [Path(str(metric.get('ann_file', ''))) for metric in metrics]
        known += [hash_file(file) for file in files if file.is_file()]
        return dict(
            name=self.name,
            config=self.config,
            checkpoint=self.checkpoint,
            config_hash=hash_text(settings),
            weights_hash=weights,
            annotations_hash=hash_text(json.dumps(known, default=str)),
        )


def read_models(
    args: argparse.Namespace, untrained: bool = False
) -> list[TrainedModel]:
    """Read the configs that a command names.

    Args:
        args: What a parser with `command_line.add_model_arguments` returned.
        untrained: Whether `UNTRAINED` may stand in place of a checkpoint.

    Raises:
        ConfigError: A config cannot be read, two models have one name, or one has no
            checkpoint and needs it.
    """
    named = [(args.name or Path(args.config).stem, args.config, args.checkpoint)]
    named += args.also
    names = [name for name, _, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f'two models have the name {twice!r}; give each its own.')
    overrides = parse_settings(args.cfg_options)
    models = [
        TrainedModel(*words, read_config(words[1], overrides), args.split)
        for words in named
    ]
    if any(model.is_untrained for model in models) and not untrained:
        raise ConfigError(
            f'this analysis is of trained models; give a checkpoint, not {UNTRAINED!r}.'
        )
    return models


def boxes_follow_resize(dataset: Dataset) -> bool:
    """Tell whether ground-truth boxes are in the scale the network sees.

    mmdet's training pipelines load boxes before resizing, so these are resized too; its
    test pipelines load them after resizing, so these stay in the scale of the file.

    Raises:
        ConfigError: The pipeline loads no ground truth.
    """
    while not hasattr(dataset, 'pipeline'):
        inner = getattr(dataset, 'dataset', None)
        dataset = dataset.datasets[0] if inner is None else inner
    names = [type(step).__name__ for step in dataset.pipeline.transforms]
    loaders = [n for n, name in enumerate(names) if 'LoadAnnotations' in name]
    if not loaders:
        raise ConfigError(
            "the data loader's pipeline loads no ground truth; add "
            "dict(type='LoadAnnotations', with_bbox=True) before PackDetInputs."
        )
    return any('Resize' in name for name in names[loaders[0] :])


def box_scale(sample: DetDataSample, like: Tensor) -> Tensor:
    """Return the factors (4,) from the file's box coordinates to the network's."""
    return like.new_tensor(sample.metainfo.get('scale_factor', (1.0, 1.0))).repeat(2)
