"""Costs -> which query learns which object (DETR, arXiv 2005.12872, Eq. 1)."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .ground_truth import GroundTruth

try:
    from torch_linear_assignment import batch_linear_assignment
except ImportError:  # an extra, `pip install mmdet_qrpaq[matching]`
    batch_linear_assignment = None


class Matches(NamedTuple):
    """Pairs of a query and its object, in all layers and images.

    Shapes:
        query: (M,) int64, index among the num_layers * bs * nq queries
        object: (M,) int64, index among the bs * G objects, padding counted
    """

    query: Tensor
    object: Tensor

    @classmethod
    def of_assigned(cls, assigned: Tensor, num_objects: int) -> 'Matches':
        """Pair up what an assigner says; waits for the device once.

        Shapes:
            assigned: (num_layers, bs, nq) int64, object of each query, -1 if none
        """
        layer, image, query = (assigned >= 0).nonzero(as_tuple=True)
        _, bs, nq = assigned.shape
        found = assigned[layer, image, query]
        return cls((layer * bs + image) * nq + query, image * num_objects + found)

    def assigned(self, shape: tuple[int, int, int], num_objects: int) -> Tensor:
        """Return the object of each query in its image, -1 if none, of that shape."""
        num_layers, bs, nq = shape
        none = self.query.new_full((num_layers * bs * nq,), -1)
        return none.scatter(0, self.query, self.object % num_objects).view(shape)


def solve(
    costs: Tensor, truth: GroundTruth, supervised: Tensor | None = None
) -> Matches:
    """Match at the lowest sum of costs, on the host: one copy there, one back.

    On CUDA, with torch-linear-assignment installed, on the device (`solve_on_device`).

    Shapes:
        costs: (num_layers, bs, G, nq)
        supervised: (num_layers, bs, nq) bool, False = takes no part

    Raises:
        ValueError: A cost is NaN or -inf, or all ways cost inf (SciPy's; on the device
            nothing looks).
    """
    nq, counts = costs.shape[-1], truth.counts
    costs = costs.float().flatten(0, 1)
    if supervised is not None:
        costs = torch.cat((costs, supervised.flatten(0, 1)[:, None].float()), 1)
    elif costs.is_cuda and batch_linear_assignment and max(counts) < nq:
        return solve_on_device(costs, truth)
    pairs = [np.empty((2, 0), np.int64)]
    for problem, rows in enumerate(costs.cpu().numpy()):
        image = problem % len(counts)
        columns = np.arange(nq) if supervised is None else rows[-1].nonzero()[0]
        # Queries first, as mmdet: with as many of both, ties hang on the order.
        query, found = linear_sum_assignment(rows[: counts[image], columns].T)
        query = problem * nq + columns[query]
        pairs.append(np.stack((query, image * truth.valid.shape[1] + found)))
    pairs = torch.from_numpy(np.concatenate(pairs, 1)).to(costs.device)
    return Matches(*pairs)


def solve_on_device(costs: Tensor, truth: GroundTruth) -> Matches:
    """Match by torch-linear-assignment: SciPy's algorithm, in a kernel for CUDA.

    It takes objects in turn. Padding comes last, finds every free query alike and moves
    nobody, as long as there is a free one.

    Shapes:
        costs: (num_layers * bs, G, nq), of more queries than objects in each image
    """
    problems, num_objects, nq = costs.shape
    num_layers, device = problems // len(truth.counts), costs.device
    valid = np.arange(num_objects) < np.array(truth.counts)[:, None]
    mask = truth.valid.repeat(num_layers, 1)[..., None]
    # A kernel for each power of two, not for each number of objects. SciPy's precision.
    spare = min(1 << (num_objects - 1).bit_length(), nq) - num_objects
    costs = F.pad(costs.double().masked_fill(~mask, 0), (0, 0, 0, spare))
    query = batch_linear_assignment(costs)[:, :num_objects]
    query = query + nq * torch.arange(problems, device=device)[:, None]
    place = torch.from_numpy(np.tile(valid, (num_layers, 1)).ravel().nonzero()[0])
    place = place.to(device)
    return Matches(query.flatten()[place], place % valid.size)


def ask_image_by_image(
    assigner: object,
    cls_scores: Tensor,
    bbox_preds: Tensor,
    truth: GroundTruth,
    supervised: Tensor | None = None,
) -> Matches:
    """Match by an assigner that knows one image of one layer, as mmdet's heads do."""
    assigned = bbox_preds.new_full(bbox_preds.shape[:3], -1, dtype=torch.int64)
    for layer, image in np.ndindex(*assigned.shape[:2]):
        part = (layer, image)
        if supervised is not None:
            part = (layer, image, supervised[layer, image])
        boxes = bbox_preds[part]
        corners = bbox_cxcywh_to_xyxy(boxes) * truth.scale[image].to(boxes.dtype)
        assigned[part] = (
            assigner.assign(
                pred_instances=InstanceData(scores=cls_scores[part], bboxes=corners),
                gt_instances=truth.instances[image],
                img_meta=truth.metas[image],
            ).gt_inds
            - 1
        )
    return Matches.of_assigned(assigned, truth.labels.shape[1])
