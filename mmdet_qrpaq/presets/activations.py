"""Fewer activations in memory, for more computing."""

import inspect
from importlib.util import find_spec

from mmdet.registry import MODELS
from mmengine.config import Config

from ..errors import ConfigError
from ..hosts.activation_checkpointing import PARTS, ActivationCheckpointingMixin
from ..settings.decision import Decision


def activation_checkpointing(cfg: Config) -> list[Decision]:
    """Keep the inputs of blocks alone for the backward pass, and run each block again.

    Blocks of the backbone (`with_cp`), and layers of encoder and decoder by
    `activation_checkpointing` of this project's detectors. Of mmdet's own detectors the
    encoder's layers (`num_cp`) where fairscale is installed, else the backbone alone.

    Costs: about one more forward pass. Losses and gradients are the same; a batch norm
    of the backbone that learns takes each batch into its statistics twice.
    Use it: when a mini-batch of one or two images does not fit into memory.

    Raises:
        ConfigError: Neither backbone nor encoder can do it, or it cannot go with
            `find_unused_parameters`.
    """
    if cfg.get('find_unused_parameters'):
        raise ConfigError(
            'preset activation_checkpointing runs blocks of the backbone twice, which '
            'find_unused_parameters=True of the config does not allow; set that to '
            'False, or leave the preset out.'
        )
    parts = []
    backbone = cfg.model.get('backbone')
    if backbone and _takes(backbone, 'with_cp'):
        backbone.with_cp = True
        parts.append('backbone')
    kind = _class_of(cfg.model)
    if kind and issubclass(kind, ActivationCheckpointingMixin):
        cfg.model.activation_checkpointing = list(PARTS)
        parts += PARTS
    elif 'encoder' in cfg.model and find_spec('fairscale'):
        cfg.model.encoder.num_cp = cfg.model.encoder.get('num_layers', 6)
        parts.append('encoder')
    if not parts:
        raise ConfigError(
            'preset activation_checkpointing finds neither a backbone with with_cp nor '
            "a detector with activation_checkpointing, as model.type='QRPaQDINO'; take "
            'such a one, or leave the preset out.'
        )
    what = f'activations of {", ".join(parts)} are computed twice'
    return [Decision('model', what, 'preset activation_checkpointing')]


def _class_of(cfg: dict) -> type | None:
    kind = cfg.get('type')
    return MODELS.get(kind) if isinstance(kind, str) else kind


def _takes(cfg: dict, name: str) -> bool:
    """Tell whether a class or one above it has an argument of this name."""
    kind = _class_of(cfg)
    return any(
        name in inspect.signature(one.__init__).parameters
        for one in inspect.getmro(kind or object)
        if '__init__' in vars(one)
    )
