#!/usr/bin/env python
"""Run operators of the mmcv in a folder on random input and save what comes out.

Called by `mmcv_build.py`, in a process of its own for each build.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def run_operators() -> dict[str, list[torch.Tensor]]:
    """Return outputs, and gradients where there are any, by operator."""
    import torch
    from mmcv import ops
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    random = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=random)

    corners, extents = 100 * rand(500, 2), 40 * rand(500, 2) + 1
    boxes, scores = torch.cat([corners, corners + extents], 1), rand(500)
    labels = torch.randint(3, (500,), generator=random)
    rotated = torch.cat([corners, extents, 3.14 * rand(500, 1)], 1)
    image = rand(2, 8, 24, 32).requires_grad_()
    rois = torch.cat([(torch.arange(500) % 2)[:, None], boxes / 4], 1)
    offset = (4 * rand(2, 18, 24, 32) - 2).requires_grad_()
    weight = rand(4, 8, 3, 3).requires_grad_()
    levels = torch.tensor([[12, 16], [6, 8]])
    value = rand(2, int(levels.prod(1).sum()), 4, 8).requires_grad_()
    places, attention = rand(2, 50, 4, 2, 4, 2), rand(2, 50, 4, 2, 4)

    def with_gradients(result: torch.Tensor, *inputs: torch.Tensor) -> list:
        return [result, *torch.autograd.grad(result.square().sum(), inputs)]

    return dict(
        nms=list(ops.nms(boxes, scores, 0.5)),
        soft_nms=list(ops.soft_nms(boxes, scores, method='gaussian')),
        batched_nms=list(
            ops.batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.5))
        ),
        roi_align=with_gradients(ops.roi_align(image, rois, 7), image),
        deform_conv2d=with_gradients(
            ops.deform_conv2d(image, offset, weight, 1, 1), image, offset, weight
        ),
        box_iou_rotated=[ops.box_iou_rotated(rotated[:200], rotated[200:])],
        multi_scale_deformable_attn_pytorch=with_gradients(
            multi_scale_deformable_attn_pytorch(value, levels, places, attention), value
        ),
    )


def main() -> None:
    """Save the outputs and the names the library exports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='holds the package mmcv, and is on PYTHONPATH')
    parser.add_argument('out', help='file to write, .pt')
    args = parser.parse_args()

    import mmcv
    import torch
    from mmcv import _ext

    assert Path(mmcv.__file__).is_relative_to(args.folder), mmcv.__file__
    outputs = {
        name: [tensor.detach() for tensor in tensors]
        for name, tensors in run_operators().items()
    }
    names = [name for name in dir(_ext) if not name.startswith('__')]
    torch.save(dict(names=names, outputs=outputs), args.out)


if __name__ == '__main__':
    main()
