"""Stands in for `mmcv._ext`, mmcv's compiled operators, where nothing was compiled.

`standin_wheel.py` packs this file as `mmcv/_ext.py`; a compiled `_ext` beside it is
found first by Python. mmcv looks every operator up by name when it is imported, so any
name is there. What DETRs and their analyses call works through PyTorch: nms (hence
batched_nms) and, on a GPU, deformable attention; on a CPU mmcv never asks this module
for the latter. Every other operator raises when it is called.
"""

import functools
import warnings

import torch

HOW_TO_COMPILE = (
    "compile mmcv's operators with 'make setup OPERATORS=compiled' in a clone of "
    "mmdet_qrpaq, or 'mim run mmdet_qrpaq operators compiled' where it is installed"
)
# Of a layer that attends to 4 x 4 points with 8 heads of 32 channels, in fp32.
COST = (
    'deformable attention runs on the GPU through PyTorch, without the kernel of mmcv: '
    'it gives the same result, takes longer, and keeps every sampled value for the '
    'backward pass (16 KiB a query and layer, 0.36 GB an encoder layer for an image of '
    f'800x1333); with the CUDA toolkit, {HOW_TO_COMPILE}'
)


def nms(
    bboxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int
) -> torch.Tensor:
    """Return the indices of the boxes that no better kept box overlaps, best first.

    Args:
        bboxes: (n, 4), x1, y1, x2, y2.
        scores: (n,)
        iou_threshold: A box goes if its IoU with a kept one is greater.
        offset: Added to widths and heights: 0, or 1 where x2 and y2 are pixels.
    """
    compiled = _nms_of_torchvision()
    if compiled and not offset:
        return compiled(bboxes, scores, iou_threshold)
    order = scores.argsort(descending=True, stable=True)
    start, end = bboxes[:, :2], bboxes[:, 2:]
    area = (end - start + offset).prod(1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        overlap = torch.minimum(end[best], end[order])
        overlap = overlap - torch.maximum(start[best], start[order]) + offset
        overlap = overlap.clamp(min=0).prod(1)
        iou = overlap / (area[best] + area[order] - overlap)
        order = order[~(iou > iou_threshold)]
    return torch.stack(kept) if kept else order


@functools.cache
def _nms_of_torchvision():
    try:
        from torchvision.ops import nms
    except Exception:  # absent, or built for another torch
        return None
    return nms


def ms_deform_attn_forward(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
    im2col_step: int,
) -> torch.Tensor:
    """Compute deformable attention as mmcv's own PyTorch function does.

    Shapes:
        value: (bs, keys, heads, channels)
        spatial_shapes: (levels, 2), height and width
        sampling_locations: (bs, nq, heads, levels, points, 2), x and y in [0, 1]
        attention_weights: (bs, nq, heads, levels, points)
        returns: (bs, nq, heads * channels)
    """
    _warn_of_cost()
    return _attend(value, spatial_shapes, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
    grad_output: torch.Tensor,
    grad_value: torch.Tensor,
    grad_sampling_loc: torch.Tensor,
    grad_attn_weight: torch.Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of the three inputs into the tensors given for them."""
    inputs = [
        tensor.detach().requires_grad_()
        for tensor in (value, sampling_locations, attention_weights)
    ]
    with torch.enable_grad():
        output = _attend(inputs[0], spatial_shapes, *inputs[1:])
    gradients = torch.autograd.grad(output, inputs, grad_output)
    for place, gradient in zip(
        (grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True
    ):
        place.copy_(gradient)


def _attend(*inputs: torch.Tensor) -> torch.Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(*inputs)


@functools.cache
def _warn_of_cost() -> None:
    warnings.warn(COST, stacklevel=2)


def get_compiler_version() -> str:
    """Return what environment reports print."""
    return 'none (PyTorch stands in)'


def get_compiling_cuda_version() -> str:
    """Return what mmcv says without CUDA."""
    return 'not available'


def __getattr__(name: str):
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def operator(*args, **kwargs):
        raise NotImplementedError(
            f"the operator '{name}' of mmcv is not compiled here; {HOW_TO_COMPILE}."
        )

    operator.__name__ = name
    return operator
