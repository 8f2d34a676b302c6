"""Draws scenes, truth beside detections, with mmdet's own visualizer.

A class has its colour. What became of a detection can be told without colour: a correct
one is solid, a wrong one dashed, with a cross before its name, which stands below; one
that another model lacks is thick, with a diamond behind its name. A missed object is
dashed in the ground truth of a single model.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.structures.mask import BaseInstanceMasks
from mmdet.visualization import DetLocalVisualizer, get_palette
from mmengine.structures import InstanceData
from torch import Tensor

from ...images import read_image
from .outcomes import Outcome, Scene

# Boxes and labels need about this many pixels on the shorter side to be readable.
READABLE_SIDE = 320
LETTER = 0.8  # width of one, in font sizes
WRONG, DIFFERS = '×', '◆'
# mmengine draws no wider line than 2.5.
THIN, THICK = 1.6, 2.5


def draw_side_by_side(
    scenes: Sequence[Scene],
    names: Sequence[str],
    dataset_meta: dict,
    score_threshold: float,
    iou_threshold: float = 0.5,
    reason: str = '',
) -> Figure:
    """Draw scenes, each as ground truth | first model | second model ...

    Args:
        scenes: At least one.
        names: Of the models.
        dataset_meta: Has `classes` and perhaps `palette`.
        score_threshold: For the title.
        iou_threshold: For the title.
        reason: Why this score threshold, for the title.
    """
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dataset_meta
    panels = 1 + len(names)
    per_row = min(len(scenes), max(1, 6 // panels))
    rows = -(-len(scenes) // per_row)
    strips = [_draw_strip(visualizer, scene) for scene in scenes]
    height, width = np.max([strip.shape[:2] for strip in strips], axis=0)
    column = 2.2 * panels
    figure = Figure(
        figsize=(column * per_row, (column * height / width + 0.4) * rows + 0.7),
        layout='constrained',
    )
    grid = figure.subplots(rows, per_row, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, scene, strip in zip(grid, scenes, strips, strict=False):
        axes.imshow(strip)
        side = strip.shape[1] / panels
        heads = [f'{_short(Path(scene.file).name)}\ntruth: {len(scene.truth)}']
        for name, counts in zip(names, scene.counts, strict=True):
            told = '{correct} right, {wrong} wrong, {missed} missed'
            heads.append(f'{name}\n{told.format(**counts)}')
        for number, head in enumerate(heads):
            if number:
                axes.axvline(number * side - 0.5, color='white', linewidth=2)
            axes.annotate(
                head,
                ((number + 0.5) * side, 0),
                xytext=(0, 3),
                textcoords='offset points',
                ha='center',
                va='bottom',
                fontsize=7.5,
            )
    least = f'{score_threshold:.3g}' + f' ({reason})' * bool(reason)
    figure.suptitle(_title(len(names), least, iou_threshold), fontsize=10)
    return figure


def _short(name: str, most: int = 30) -> str:
    """Return the end of a name that is too long for its panel."""
    return name if len(name) <= most else f'…{name[1 - most :]}'


def _title(num_models: int, score_threshold: str, iou_threshold: float) -> str:
    title = (
        f'detections with a score ≥ {score_threshold}; solid: right (class, IoU ≥ '
        f'{iou_threshold:g}), dashed and {WRONG}: wrong'
    )
    if num_models > 1:
        return f'{title}\nthick and {DIFFERS}: another model has none like it'
    return f'{title}; dashed in the truth: missed'


def _draw_strip(visualizer: DetLocalVisualizer, scene: Scene) -> np.ndarray:
    """Return (h, panels w, 3), RGB: ground truth left, then the models."""
    image = read_image(scene.file)
    scale = max(1.0, READABLE_SIDE / min(image.shape[:2]))
    image = cv2.resize(image, None, fx=scale, fy=scale)
    classes = visualizer.dataset_meta['classes']
    dashed = torch.zeros(len(scene.truth), dtype=torch.bool)
    if len(scene.outcomes) == 1:
        dashed = scene.outcomes[0].missed
    names = [classes[label] for label in scene.truth.labels]
    panels = [(scene.truth, names, dashed, torch.zeros_like(dashed))]
    for outcome in scene.outcomes:
        panels.append(_panel(outcome, classes))
    drawn = []
    for instances, names, dashed, thick in panels:
        visualizer.set_image(image)
        _draw_boxes(visualizer, scale, instances, names, dashed, thick)
        drawn.append(visualizer.get_image())
    return np.concatenate(drawn, axis=1)


def _panel(
    outcome: Outcome, classes: Sequence[str]
) -> tuple[InstanceData, list[str], Tensor, Tensor]:
    """Return detections, names, which are dashed and which are thick; the best is last.

    A query's second guess shares its box and would hide it.
    """
    order = torch.arange(len(outcome.found)).flip(0)
    found, correct, differs = (
        part[order] for part in (outcome.found, outcome.correct, outcome.differs)
    )
    names = []
    for n, label in enumerate(found.labels.tolist()):
        marks = ('' if correct[n] else f'{WRONG} ', f' {DIFFERS}' if differs[n] else '')
        names.append(f'{marks[0]}{classes[label]} {found.scores[n]:.2f}{marks[1]}')
    return found, names, ~correct, differs


def _draw_boxes(
    visualizer: DetLocalVisualizer,
    scale: float,
    instances: InstanceData,
    names: list[str],
    dashed: Tensor,
    thick: Tensor,
) -> None:
    """Draw boxes with a name inside a corner on the left."""
    if not len(instances):
        return
    width, height = visualizer.width, visualizer.height
    # The visualizer warns of boxes that reach the very edge.
    boxes = instances.bboxes * scale
    boxes[:, 0::2] = boxes[:, 0::2].clamp(1, width - 1)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(1, height - 1)
    classes = visualizer.dataset_meta['classes']
    palette = visualizer.dataset_meta.get('palette')
    if isinstance(palette, list) and len(palette) < len(classes):
        palette = 'random'  # COCO's, which a data set of more classes inherits
    palette = get_palette(palette, len(classes))
    colours = [palette[label] for label in instances.labels]
    if 'masks' in instances:
        _draw_masks(visualizer, instances.masks, colours)
    # A name that would leave the image ends, rather than starts, at its box's corner.
    # Right and wrong ones on one object stay readable: they stand above and below.
    font_size = max(10, round(0.05 * min(width, height)))
    lengths = boxes.new_tensor([LETTER * font_size * len(name) for name in names])
    right = (boxes[:, 0] + lengths > width) & (boxes[:, 2] >= lengths)
    below = dashed & torch.tensor([name.startswith(WRONG) for name in names])
    corners = torch.stack(
        [
            torch.where(right, boxes[:, 2], boxes[:, 0]),
            torch.where(below, boxes[:, 3], boxes[:, 1]),
        ],
        1,
    )
    visualizer.draw_bboxes(
        boxes,
        edge_colors=colours,
        line_styles=['--' if wrong else '-' for wrong in dashed],
        line_widths=[THICK if differs else THIN for differs in thick],
    )
    visualizer.draw_texts(
        names,
        corners,
        colors=colours,
        horizontal_alignments=['right' if near else 'left' for near in right],
        vertical_alignments=['bottom' if wrong else 'top' for wrong in below],
        font_sizes=font_size,
        bboxes=[dict(facecolor='black', alpha=0.75, pad=0.6, edgecolor='none')]
        * len(names),
    )


def _draw_masks(
    visualizer: DetLocalVisualizer,
    masks: Tensor | BaseInstanceMasks,
    colours: list[tuple[int, int, int]],
) -> None:
    """Lay masks, (n, h, w) of the stored or resized image, over the one drawn."""
    if isinstance(masks, BaseInstanceMasks):
        masks = masks.to_ndarray()
    size = visualizer.width, visualizer.height
    enlarged = [
        cv2.resize(np.uint8(mask), size, interpolation=cv2.INTER_NEAREST) > 0
        for mask in masks
    ]
    visualizer.draw_binary_masks(np.stack(enlarged), colors=colours, alphas=0.5)
