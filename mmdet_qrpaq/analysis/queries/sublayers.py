"""A decoder without its self-attention, or without its cross-attention (QR Fig. 2a).

Works on any decoder of mmdet whose layers have `self_attn` and `cross_attn`, routed
ones included; nothing is retrained.

The paper says 'only SA layers' and omits norms from its equations. Here the attention
term of Eq. 1 or 2 is taken away in every layer, so that its queries go on as they came;
residuals, norms and feed-forward networks stay. Taking the norm away too, as for a
query that bypasses (Sec. 4), asks the next sub-layer to read what it never saw: a small
DINO then kept AP 0.25 on cross-attention alone, instead of 0.33 (both: 0.39).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from ...errors import ConfigError

# What is left on -> what is switched off.
SETTINGS = dict(both=(), self_attn=('cross_attn',), cross_attn=('self_attn',))


@contextmanager
def only_sublayers(detector: nn.Module, kept: str) -> Iterator[None]:
    """Switch off what is not kept, in every decoder layer, while inside.

    Args:
        kept: `'both'`, `'self_attn'` or `'cross_attn'`.

    Raises:
        ConfigError: The decoder's layers are not made of these parts.
    """
    layers = decoder_layers(detector)
    with ExitStack() as stack:
        for name in SETTINGS[kept]:
            for layer in layers:
                attention = getattr(layer, name)
                hook = attention.register_forward_hook(_hand_on, with_kwargs=True)
                stack.enter_context(hook)
        yield


def decoder_layers(detector: nn.Module) -> nn.ModuleList:
    """Return the layers of the decoder.

    Raises:
        ConfigError: They have no self-attention or no cross-attention.
    """
    layers = getattr(getattr(detector, 'decoder', None), 'layers', ())
    parts = ('self_attn', 'cross_attn')
    if not layers or not all(hasattr(layer, p) for layer in layers for p in parts):
        raise ConfigError(
            f'the decoder layers of {type(detector).__name__} do not have '
            f'{" and ".join(parts)}, so neither can be switched off.'
        )
    return layers


def _hand_on(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor:
    """Return the queries as they came in, in place of the output of an attention."""
    return kwargs['query']
