"""Draws sampling points over images: a row a query, a column a decoder layer."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...images import read_image

CELL = 2.1  # inches
LARGEST_POINT = 30
WORDS = dict(layer='layer', self_attn='self-attention', cross_attn='cross-attention')


def draw(numbers: dict, paths: Sequence[str]) -> Figure:
    """Draw the samples of each chosen query, larger and brighter with their weight.

    With it the box that the query predicts after the layer: grey and dashed where it
    bypassed what the layer routes.

    Args:
        numbers: See `points.SCHEMA`.
        paths: Of the images.
    """
    images = numbers['pictures']
    pixels = [read_image(path) for path in paths]
    ratios = [
        shown.shape[0] / shown.shape[1]
        for image, shown in zip(images, pixels, strict=True)
        for _ in image['queries']
    ]
    columns = len(images[0]['layers'])
    figure = Figure(
        figsize=(CELL * columns + 1.4, CELL * sum(ratios) + 0.45 * len(images) + 0.6),
        layout='constrained',
    )
    grid = iter(
        figure.subplots(len(ratios), columns, squeeze=False, height_ratios=ratios)
    )
    layers = [layer for image in images for layer in image['layers']]
    looks = [query['weights'] for layer in layers for query in layer['queries']]
    heaviest = max([0, *itertools.chain(*looks)])
    points = None
    for image, shown in zip(images, pixels, strict=True):
        for row, query in enumerate(image['queries']):
            cells = next(grid)
            for number, (axes, layer) in enumerate(
                zip(cells, image['layers'], strict=True)
            ):
                points = _draw_cell(axes, shown, layer, row, heaviest) or points
                if row == 0:
                    title = _describe(layer, number, numbers['num_queries'])
                    axes.set_title(title, fontsize=8)
            cells[0].set_ylabel(
                f'query {query["index"]}\n{query["label"]} {query["score"]:.2f}',
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
    names = ', '.join(image['name'] for image in images)
    figure.suptitle(f'Sampling points of cross-attention: {names}', fontsize=9)
    return figure


def _describe(layer: dict, number: int, num_queries: int) -> str:
    if layer['site'] is None:
        return f'layer {number}'
    return (
        f'layer {number}, routes {WORDS[layer["site"]]}:\n'
        f'{layer["num_entered"]} of {num_queries} enter'
    )


def _draw_cell(
    axes: Axes, shown: np.ndarray, layer: dict, row: int, heaviest: float
) -> PathCollection | None:
    """Draw image, box and samples of a query in a layer; return the samples drawn."""
    query = layer['queries'][row]
    height, width = shown.shape[:2]
    axes.imshow(shown, alpha=0.75, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    left, top, right, bottom = query['box']
    bypassed = query['entered'] is False
    style = dict(color='0.8', linestyle='--') if bypassed else dict(color='#00e000')
    axes.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, lw=1.4, **style)
    )
    if bypassed:
        axes.text(
            0.03,
            0.97,
            'bypassed' if layer['site'] != 'self_attn' else 'bypassed self-attention',
            transform=axes.transAxes,
            va='top',
            fontsize=7,
            color='white',
            bbox=dict(facecolor='0.3', edgecolor='none', pad=1.5),
        )
    if not query['points']:
        return None
    weights = np.array(query['weights'])
    order = weights.argsort()  # the heaviest on top
    x, y = np.array(query['points'])[order].T
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
