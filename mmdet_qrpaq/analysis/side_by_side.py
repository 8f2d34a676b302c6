"""Ground truth beside predictions, drawn with mmdet's own visualizer.

Called by ``tools/analysis/side_by_side.py``.
"""

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer, get_palette
from mmengine.dataset import pseudo_collate
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..errors import ConfigError
from .trained_detector import box_scale, boxes_follow_resize

# Boxes and labels need about this many pixels on the shorter side to be readable.
READABLE_SIDE = 320


def draw_side_by_side(
    detector: nn.Module,
    dataset: Dataset,
    *,
    num_pictures: int = 12,
    score_threshold: float = 0.5,
    pairs_per_row: int = 3,
) -> Figure:
    """Draw pictures spread evenly over a data set, each as ground truth | predictions.

    Args:
        detector: In eval mode.
        dataset: Gives pictures with ground truth.
        num_pictures: At least 1; fewer are drawn if there are fewer.
        score_threshold: Predictions below it are not drawn; in [0, 1].

    Raises:
        ConfigError: There is nothing to draw.
    """
    num_pictures = min(num_pictures, len(dataset))
    if num_pictures < 1:
        raise ConfigError('side by side needs at least one picture.')
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    resized = boxes_follow_resize(dataset)
    chosen = np.linspace(0, len(dataset) - 1, num_pictures).round().astype(int)
    pairs = []
    for index in track(chosen, 'drawing predictions'):
        batch = pseudo_collate([dataset[int(index)]])
        with torch.no_grad():
            sample = detector.test_step(batch)[0].cpu()
        if resized:
            truth = sample.gt_instances.bboxes
            sample.gt_instances.bboxes = truth / box_scale(sample, truth)
        pairs.append(_draw_pair(visualizer, sample, score_threshold))
    return _arrange(pairs, min(pairs_per_row, num_pictures), score_threshold)


def _draw_pair(
    visualizer: DetLocalVisualizer, sample: DetDataSample, score_threshold: float
) -> np.ndarray:
    """Return (h, 2 w, 3), RGB: ground truth left, predictions right."""
    picture = cv2.imread(sample.img_path)[..., ::-1]
    scale = max(1.0, READABLE_SIDE / min(picture.shape[:2]))
    picture = cv2.resize(picture, None, fx=scale, fy=scale)
    found = sample.pred_instances
    found = found[found.scores >= score_threshold]
    # The best is drawn last: a query's second guess shares its box and would hide it.
    found = found[found.scores.argsort()]
    halves = []
    for instances in (sample.gt_instances, found):
        names = [visualizer.dataset_meta['classes'][n] for n in instances.labels]
        if 'scores' in instances:
            scores = instances.scores.tolist()
            names = [f'{n} {s:.2f}' for n, s in zip(names, scores, strict=True)]
        visualizer.set_image(picture)
        _draw_boxes(visualizer, instances.bboxes * scale, instances.labels, names)
        halves.append(visualizer.get_image())
    return np.concatenate(halves, axis=1)


def _draw_boxes(
    visualizer: DetLocalVisualizer, boxes: Tensor, labels: Tensor, names: list[str]
) -> None:
    """Draw boxes (x1, y1, x2, y2; pixels) with a name inside the upper left corner."""
    if not len(boxes):
        return
    width, height = visualizer.width, visualizer.height
    # The visualizer warns of boxes that reach the very edge.
    boxes = boxes.clone()
    boxes[:, 0::2] = boxes[:, 0::2].clamp(1, width - 1)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(1, height - 1)
    classes = visualizer.dataset_meta['classes']
    palette = get_palette(visualizer.dataset_meta.get('palette'), len(classes))
    colours = [palette[label] for label in labels]
    # Near the right edge a name ends, rather than starts, at its box's corner.
    right = boxes[:, 0] > 0.75 * width
    corners = torch.stack(
        [torch.where(right, boxes[:, 2], boxes[:, 0]), boxes[:, 1]], 1
    )
    visualizer.draw_bboxes(boxes, edge_colors=colours, line_widths=2)
    visualizer.draw_texts(
        names,
        corners,
        colors=colours,
        horizontal_alignments=['right' if near else 'left' for near in right],
        font_sizes=max(10, round(0.05 * min(width, height))),
        bboxes=[dict(facecolor='black', alpha=0.75, pad=0.6, edgecolor='none')]
        * len(names),
    )


def _arrange(pairs: list[np.ndarray], per_row: int, score_threshold: float) -> Figure:
    """Lay the pairs out in rows, with a thin white line inside and a gap between."""
    rows = -(-len(pairs) // per_row)
    height, width = pairs[0].shape[:2]
    figure = Figure(
        figsize=(4.4 * per_row, 4.4 * height / width * rows + 0.5),
        layout='constrained',
    )
    grid = figure.subplots(rows, per_row, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, pair in zip(grid, pairs, strict=False):
        axes.imshow(pair)
        axes.axvline(pair.shape[1] / 2 - 0.5, color='white', linewidth=2)
    figure.suptitle(
        f'each pair: ground truth | predictions with a score of {score_threshold:g} '
        'or more',
        fontsize=11,
    )
    return figure
