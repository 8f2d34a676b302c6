"""Draws sampling points over pictures: a row a query, a column a decoder layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..detections.drawing import read_picture
from .result import LayerSampling, PictureSampling

CELL = 2.1  # inches
LARGEST_POINT = 30
WORDS = dict(layer='layer', self_attn='self-attention', cross_attn='cross-attention')


def draw_sampling_points(
    pictures: Sequence[PictureSampling], num_queries: int
) -> Figure:
    """Draw the samples of each chosen query, larger and brighter with their weight.

    With it the box that the query predicts after the layer: grey and dashed where it
    bypassed what the layer routes.

    Args:
        num_queries: Of the model.

    Raises:
        ConfigError: The file of a picture cannot be read.
    """
    images = [read_picture(picture.path) for picture in pictures]
    ratios = [
        image.shape[0] / image.shape[1]
        for picture, image in zip(pictures, images, strict=True)
        for _ in picture.queries
    ]
    columns = len(pictures[0].layers)
    figure = Figure(
        figsize=(CELL * columns + 1.4, CELL * sum(ratios) + 0.45 * len(pictures) + 0.6),
        layout='constrained',
    )
    grid = iter(
        figure.subplots(len(ratios), columns, squeeze=False, height_ratios=ratios)
    )
    heaviest = max(
        float(layer.weights.max()) for picture in pictures for layer in picture.layers
    )
    points = None
    for picture, image in zip(pictures, images, strict=True):
        for row, query in enumerate(picture.queries):
            cells = next(grid)
            for number, (axes, layer) in enumerate(
                zip(cells, picture.layers, strict=True)
            ):
                points = _draw_cell(axes, image, layer, row, heaviest) or points
                if row == 0:
                    axes.set_title(_describe(layer, number, num_queries), fontsize=8)
            cells[0].set_ylabel(
                f'query {query}\n{picture.labels[row]} {picture.scores[row]:.2f}',
                fontsize=8,
            )
    if points is not None:
        figure.colorbar(
            points,
            ax=figure.axes,
            label='attention weight within a head',
            shrink=min(1, 3 / figure.get_figheight()),
            aspect=18,
        )
    names = ', '.join(picture.name for picture in pictures)
    figure.suptitle(f'Sampling points of cross-attention: {names}', fontsize=9)
    return figure


def _describe(layer: LayerSampling, number: int, num_queries: int) -> str:
    if layer.site is None:
        return f'layer {number}'
    return (
        f'layer {number}, routes {WORDS[layer.site]}:\n'
        f'{layer.num_entered} of {num_queries} enter'
    )


def _draw_cell(
    axes: Axes, image: np.ndarray, layer: LayerSampling, row: int, heaviest: float
):
    """Picture, box and samples of one query in one layer; return the samples drawn."""
    height, width = image.shape[:2]
    axes.imshow(image, alpha=0.75, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    left, top, right, bottom = layer.boxes[row].tolist()
    bypassed = layer.entered is not None and not layer.entered[row]
    style = dict(color='0.8', linestyle='--') if bypassed else dict(color='#00e000')
    axes.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, lw=1.4, **style)
    )
    if bypassed:
        axes.text(
            0.03,
            0.97,
            'bypassed' if layer.site != 'self_attn' else 'bypassed self-attention',
            transform=axes.transAxes,
            va='top',
            fontsize=7,
            color='white',
            bbox=dict(facecolor='0.3', edgecolor='none', pad=1.5),
        )
    if not layer.looks(row):
        return None
    weights = layer.weights[row].flatten().numpy()
    order = weights.argsort()  # the heaviest on top
    x, y = layer.points[row].flatten(0, -2).numpy()[order].T
    weights = weights[order]
    return axes.scatter(
        x,
        y,
        s=1 + LARGEST_POINT * weights / heaviest,
        c=weights,
        cmap='plasma',
        vmin=0,
        vmax=heaviest,
        linewidths=0.2,
        edgecolors='black',
    )
