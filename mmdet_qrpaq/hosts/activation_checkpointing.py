"""Keeps fewer activations of encoder and decoder layers for the backward pass.

By torch's own checkpointing. mmdet's `encoder.num_cp` does it for the encoder alone and
needs fairscale, which wraps the layers and so renames their parameters.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial

import torch
from mmdet.models import DetectionTransformer
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..errors import ConfigError
from ..temporary_attribute import temporary_attribute

PARTS = ('encoder', 'decoder')


class ActivationCheckpointingMixin:
    """Adds `activation_checkpointing` to a detector.

    Args:
        activation_checkpointing: Which of `'encoder'` and `'decoder'` keep the inputs
            of their layers alone in training, and run each layer once more in the
            backward pass. Results and gradients are the same, dropout included; a layer
            costs one more forward pass.

    Raises:
        ConfigError: If it names another part.
    """

    def __init__(
        self: DetectionTransformer,
        *args,
        activation_checkpointing: Sequence[str] = (),
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        parts = activation_checkpointing
        if not isinstance(parts, list | tuple) or not set(parts) <= set(PARTS):
            raise ConfigError(
                f'activation_checkpointing is {parts!r}: give a list of '
                f'{" and ".join(map(repr, PARTS))}, or of one of them.'
            )
        self.activation_checkpointing = tuple(parts)

    def forward_encoder(self, *args, **kwargs) -> dict:
        """Run the host's."""
        if not self._checkpoints('encoder'):
            return super().forward_encoder(*args, **kwargs)
        with checkpointed(self.encoder.layers):
            return super().forward_encoder(*args, **kwargs)

    def forward_decoder(self, *args, **kwargs) -> dict:
        """Run the host's."""
        if not self._checkpoints('decoder'):
            return super().forward_decoder(*args, **kwargs)
        with checkpointed(self.decoder.layers):
            return super().forward_decoder(*args, **kwargs)

    def _checkpoints(self, part: str) -> bool:
        learns = self.training and torch.is_grad_enabled()
        return learns and part in self.activation_checkpointing


@contextmanager
def checkpointed(layers: nn.ModuleList) -> Iterator[None]:
    """Let calls of these layers keep their inputs alone."""
    with ExitStack() as stack:
        for layer in layers:
            forward = partial(
                checkpoint,
                layer.forward,
                use_reentrant=False,
                context_fn=partial(contexts, layer),
            )
            stack.enter_context(temporary_attribute(layer, 'forward', forward))
        yield


def contexts(layer: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Return what surrounds the first run of a layer, and each later one."""
    return nullcontext(), Unchanged(layer)


class Unchanged(AbstractContextManager):
    """Leaves a module's attributes as they were: a routed layer has told its trace.

    A trace of the second run would stay, and with it a graph.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __enter__(self) -> None:
        self.before = dict(vars(self.module))

    def __exit__(self, *_: object) -> None:
        vars(self.module).clear()
        vars(self.module).update(self.before)
