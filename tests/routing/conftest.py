"""What the decoder layers of each host are given, taken from a real forward pass."""

import copy
import functools
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from mmdet_qrpaq.routing import EEQRDecoderLayer, RoutingSettings
from tiny_hosts import (
    NUM_QUERIES,
    build_upstream,
    make_batch,
    run_loss,
    without_dropout,
)


class LayerCall(NamedTuple):
    """A decoder layer of a host, and what the decoder gave it, in double precision."""

    layer: nn.Module
    query: Tensor
    inputs: dict
    num_denoising: int

    def routed(self, site: str, **config) -> EEQRDecoderLayer:
        """A copy of the layer under routing, without denoising known to it yet."""
        settings = RoutingSettings.from_config(
            dict(schedule=[site], gradient='exit_head') | config, NUM_QUERIES, 1
        )
        torch.manual_seed(0)
        routed = EEQRDecoderLayer(copy.deepcopy(self.layer), site, settings).double()
        routed.num_denoising = self.num_denoising
        return routed


def as_double(value: object) -> object:
    """Tensors of their own; those of integers and masks keep their type."""
    if not torch.is_tensor(value):
        return value
    value = value.detach().clone()
    return value.double() if value.is_floating_point() else value


@functools.cache
def record(host: str) -> list[LayerCall]:
    """Calls of all decoder layers in a training step on images of two sizes.

    DINO's queries are then led by two groups of denoising queries, with a mask.
    """
    detector = without_dropout(build_upstream(host))
    calls = []

    def note(layer: nn.Module, arguments: tuple, inputs: dict) -> None:
        names = ('query', 'key')[: len(arguments)]
        inputs = dict(zip(names, arguments, strict=True)) | inputs
        inputs = {name: as_double(value) for name, value in inputs.items()}
        query = inputs.pop('query')
        calls.append(LayerCall(layer, query, inputs, query.shape[1] - NUM_QUERIES))

    for layer in detector.decoder.layers:
        layer.register_forward_pre_hook(note, with_kwargs=True)
    with torch.no_grad():
        run_loss(detector, make_batch([1, 2], [(96, 96), (64, 96)]))
    for i, call in enumerate(calls):
        # Copied without the hook.
        layer = copy.deepcopy(call.layer).double()
        layer._forward_pre_hooks.clear()
        layer._forward_pre_hooks_with_kwargs.clear()
        calls[i] = call._replace(layer=layer)
    return calls


@pytest.fixture
def layer_call() -> Callable[[str, int], LayerCall]:
    """Gives the call of layer `index` of `host`."""
    return lambda host, index=1: record(host)[index]
