"""What a detector computes on the way, collected by forward hooks while it runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn


@dataclass
class Heard:
    """What the hooks have collected in the last forward pass.

    Attributes:
        logits: Of the classes, from the last decoder layer.
        boxes: (cx, cy, w, h) in [0, 1] of the resized image, from the same.
        weights: W^D (PaQ-DETR Eq. 5) of a model with patterns, else None.
        entered: Which queries enter, one tensor a routed layer, in decoder order
            (QR-DETR Eq. 6); empty where nothing is routed.

    Shapes:
        logits: (bs, nq, num_classes [+ 1]); boxes: (bs, nq, 4); weights: (bs, nq,
        num_patterns); entered: (bs, nq), bool.
    """

    logits: Tensor | None = None
    boxes: Tensor | None = None
    weights: Tensor | None = None
    entered: list[Tensor] = field(default_factory=list)


def bare_model(runner: Runner) -> nn.Module:
    """Return the model of a run, without what distributes it or merges its views."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


@contextmanager
def listening(detector: nn.Module) -> Iterator[Heard]:
    """Keep what each forward pass computes, until the next one or the end of the block.

    Args:
        detector: Any; where it is no DETR, nothing is heard.
    """
    heard = Heard()
    routed = list(getattr(detector, 'routed_layers', ()))
    queries = getattr(detector, 'pattern_query_generator', None)
    generator = getattr(queries, 'weight_generator', None)

    def hear_head(head: nn.Module, inputs: tuple, outputs: tuple) -> None:
        # Detached, so that the graph of a training is not held.
        heard.logits, heard.boxes = outputs[0][-1].detach(), outputs[1][-1].detach()

    def hear_weights(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        heard.weights = output.detach().float()

    def hear_layer(layer: nn.Module, *_) -> None:
        # Taken here: the detector clears the trace once its decoder has run.
        if layer is routed[0]:
            heard.entered = []
        heard.entered.append(layer.trace.enter)

    with ExitStack() as stack:
        if hasattr(detector, 'forward_transformer'):
            stack.enter_context(detector.bbox_head.register_forward_hook(hear_head))
        if generator is not None:
            stack.callback(generator.register_forward_hook(hear_weights).remove)
        for layer in routed:
            stack.enter_context(layer.register_forward_hook(hear_layer))
        yield heard
