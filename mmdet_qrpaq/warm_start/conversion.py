"""A detector that starts where a trained host stopped."""

import copy
from collections.abc import Sequence

import mmengine
import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from ..routing.detector_mixin import QueryRoutingMixin
from ..routing.eeqr_layer import EEQRDecoderLayer
from ..runtime.building import build_untrained
from ..runtime.fit import require_finite, require_same_model
from ..runtime.publishing import weights_of
from .class_layers import classes_in, match_classes, metainfo_of

# Options of a detector, and what is in the names of the parameters they add to a host.
_PARTS = dict(
    query_routing='.router.',
    pattern_query='pattern_query_generator.',
    mask_branch='mask_branch.',
    hybrid_branch='hybrid_queries.',
)


def convert(
    cfg: Config,
    checkpoint: dict,
    path: str,
    classes: Sequence[str] | None = None,
) -> tuple[dict, list[str]]:
    """Return a checkpoint of a config that starts as one of its host, and what is so.

    What the checkpoint has is kept, methods included; methods that it lacks start so
    that they change nothing, as far as they can.

    Args:
        checkpoint: Its weights are changed in place.
        path: Where it is from, for messages.
        classes: Names of the checkpoint's classes, in place of those it has.

    Raises:
        ConfigError: If it is no checkpoint of the host, or its classes cannot be told.
    """
    weights = weights_of(checkpoint, path)
    consume_prefix_in_state_dict_if_present(weights, 'module.')
    host = build_untrained(host_config(cfg, weights))
    metainfo = metainfo_of(cfg)
    names = classes or classes_in(checkpoint)
    wanted = metainfo.get('classes')
    notes = [match_classes(weights, host.state_dict(), names, wanted)]
    require_same_model(
        host,
        dict(state_dict=weights),
        path,
        f'the host of {cfg.filename}',
        'give a checkpoint of that host, or set the config to its layers and queries',
    )
    host.load_state_dict(weights, strict=False)
    require_finite(host, path)
    target = build_untrained(cfg)
    target.load_state_dict(host.state_dict(), strict=False)
    new = target.state_dict().keys() - host.state_dict().keys()
    notes += start_methods(target, host, new)
    meta = dict(cfg=cfg.pretty_text, mmengine_version=mmengine.__version__)
    if metainfo:
        meta['dataset_meta'] = metainfo
    return dict(meta=meta, state_dict=target.state_dict()), notes


def host_config(cfg: Config, weights: dict[str, Tensor]) -> Config:
    """Return the config without the methods of which a checkpoint has no parameter."""
    cfg = copy.deepcopy(cfg)
    for option, part in _PARTS.items():
        if option in cfg.model and not any(part in key for key in weights):
            cfg.model[option] = None
    return cfg


def start_methods(target: nn.Module, host: nn.Module, new: set[str]) -> list[str]:
    """Start the methods that a host lacks, and return a sentence about each.

    Args:
        target: With all parameters of the host.
        new: Names of its other parameters.
    """

    def is_new(option: str) -> bool:
        return any(_PARTS[option] in key for key in new)

    notes = []
    if is_new('query_routing'):
        notes.append(open_routers(target))
    if any(key.startswith('exit_heads.') for key in new):
        target.exit_heads.start_as(target.bbox_head)
    if is_new('pattern_query'):
        notes.append(fit_patterns(target, host))
    for option in ('mask_branch', 'hybrid_branch'):
        if is_new(option):
            notes.append(f'{option}: starts from nothing, the host has none')
    return notes


def open_routers(target: QueryRoutingMixin) -> str:
    """Let all queries enter, in the layers whose rule can; others start as ever."""
    layers = target.routed_layers
    closed, soon = [], 1.0
    for layer in layers:
        layer.router.start_alike()
        alike = layer.router.projection.bias.expand(1, layer.settings.num_queries, 2)
        if layer.choose(alike).enter.all():
            soon = min(soon, share_after_a_step(layer))
        else:
            layer.router.init_weights()
            closed.append(layer.site)
    if closed:
        return (
            'routing: not exact, since the rule (or a capacity) at '
            f'{", ".join(dict.fromkeys(closed))} never lets all queries enter, so that '
            'routers start at random there; ThresholdPolicy does'
        )
    exact = f'routing: all queries enter each of the {len(layers)} layers, exact'
    if soon == 1:
        return exact
    return (
        f'{exact}; but the rule compares queries with each other, so that about '
        f'{soon:.0%} will enter once training has begun: ThresholdPolicy goes on from '
        'the host'
    )


def share_after_a_step(layer: EEQRDecoderLayer) -> float:
    """Return who enters of a thousand images where scores differ by next to nothing."""
    draw = torch.Generator().manual_seed(0)
    size = (1000, layer.settings.num_queries, 2)
    scores = layer.router.projection.bias + 0.01 * torch.randn(size, generator=draw)
    return float(layer.choose(scores).enter.float().mean())


def fit_patterns(target: nn.Module, host: nn.Module) -> str:
    """Fit patterns to the host's content, where it is not made of the image."""
    content = host.host_content()
    if content is None:
        return (
            'content: not exact, since the host makes it of its proposals and patterns '
            'cannot; they start from nothing, all else is taken over'
        )
    made = target.pattern_query_generator.start_as(content)
    if not content.any():
        return 'content: zero in this host, and made so, exact'
    error = (made - content).norm() / content.norm()
    return (
        f'content: {len(content)} queries made of patterns, relative error '
        f'{error:.2g} (Frobenius)'
    )
