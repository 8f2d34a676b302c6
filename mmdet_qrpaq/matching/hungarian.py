"""Costs -> which query learns which object (Hungarian matching, DETR Eq. 1)."""

from typing import NamedTuple

import numpy as np
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .ground_truth import GroundTruth


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

    Shapes:
        costs: (num_layers, bs, G, nq)
        supervised: (num_layers, bs, nq) bool, False = takes no part

    Raises:
        ValueError: A cost is NaN or -inf, or all ways cost inf (SciPy's).
    """
    nq = costs.shape[-1]
    costs = costs.float().flatten(0, 1)
    if supervised is not None:
        costs = torch.cat((costs, supervised.flatten(0, 1)[:, None].float()), 1)
    table = costs.cpu().numpy()
    pairs = [np.empty((2, 0), np.int64)]
    for problem, rows in enumerate(table):
        image = problem % len(truth.instances)
        objects, queries = rows[: len(truth.instances[image])], slice(None)
        if supervised is not None:
            queries = rows[-1].nonzero()[0]
        # Queries first, as mmdet: with as many of both, ties hang on the order.
        query, found = linear_sum_assignment(objects[:, queries].T)
        query = query if supervised is None else queries[query]
        pairs.append(
            np.stack((problem * nq + query, image * truth.labels.shape[1] + found))
        )
    pairs = torch.from_numpy(np.concatenate(pairs, 1)).to(truth.labels.device)
    return Matches(*pairs)


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
