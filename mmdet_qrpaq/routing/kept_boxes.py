"""A bypassing query keeps its box: it is 'retained as it is' (QR-DETR Sec. 4).

`QueryRoutingMixin` calls `keep_boxes` with `bypassed_boxes='kept'`.

A host refines boxes by a branch that reads the queries after each decoder layer, once
in its decoder and once more in its head. A bypassing query is what it was, so that its
branch reads what was read after the layer before: in DAB-DETR, where one branch serves
all layers, it takes the same step twice.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .eeqr_layer import EEQRDecoderLayer


def keep_boxes(detector: nn.Module) -> None:
    """Let the box branches of a detector move nobody who bypassed their layer.

    By hooks on the branches, so decoder and head agree and no key changes. Up to the
    host's clamp: it takes boxes to logits and back, at most 1 - 1e-3 or 1 - 1e-5.

    Hosts whose references are fixed (Conditional-DETR, Deformable-DETR without
    refinement) have no branch that moves boxes on, and nothing changes.
    """
    for branch, layers in refining_branches(detector):
        branch.register_forward_hook(partial(leave_out_bypassed, layers))


def refining_branches(
    detector: nn.Module,
) -> Iterator[tuple[nn.Module, Sequence[EEQRDecoderLayer]]]:
    """Yield each branch that moves boxes on, and the decoder layers that it serves."""
    layers, head = detector.routed_layers, detector.bbox_head
    if getattr(detector, 'with_box_refine', False):  # the deformable family
        # One-stage, the first layer starts from points: no query has a box to keep.
        first = 0 if detector.as_two_stage else 1
        for branch, layer in list(zip(head.reg_branches, layers, strict=False))[first:]:
            yield branch, [layer]
    elif getattr(detector.decoder, 'query_dim', 0) == 4:  # DAB-DETR
        yield head.fc_reg, layers


def leave_out_bypassed(
    layers: Sequence[EEQRDecoderLayer], branch: nn.Module, inputs: tuple, steps: Tensor
) -> Tensor:
    """Return the steps of a box branch, 0 for who bypassed; a forward hook.

    Shapes:
        steps: (bs, n, 4) logits, of the layer that ran last; or (num_layers, bs, n, 4)
            of the last ones that ran
    """
    moving = [moved_queries(layer) for layer in layers if layer.entered is not None]
    moved = moving[-1] if steps.dim() == 3 else torch.stack(moving[-len(steps) :])
    return steps.masked_fill(~moved.unsqueeze(-1), 0)


def moved_queries(layer: EEQRDecoderLayer) -> Tensor:
    """Return whose box a layer moves, (bs, n) bool: self-attention moves nobody's."""
    if layer.site == 'self_attn':
        return torch.ones_like(layer.entered)
    return layer.entered
