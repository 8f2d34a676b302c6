"""What query routing decides over many images (QR-DETR Table 2 and Fig. 4).

Denoising queries, which always enter, are not counted.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure, FigureBase
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ...errors import ConfigError
from ...records.schema import (
    COUNT,
    NUMBER,
    SHARE,
    TEXT,
    YES_NO,
    fields,
    list_of,
    table_of,
)

# A site that gives more than this share of its queries the same answer chooses none.
COLLAPSED = 0.98
PAPER_NAMES = dict(layer='EEQR$_F$', self_attn='EEQR$_{SA}$', cross_attn='EEQR$_{CA}$')
NUM_BARS = 60

_MEANS = dict(
    entered=NUMBER,
    entered_std=NUMBER,
    share=SHARE,
    query_spread=NUMBER,
    differing=SHARE,
)
LAYERS = dict(
    num_images=COUNT,
    num_queries=COUNT,
    layers=list_of(
        fields(
            name=TEXT,
            site=TEXT,
            **_MEANS,
            collapsed=YES_NO,
            histogram=list_of(COUNT),
            entries=list_of(COUNT),
        )
    ),
    sites=table_of(fields(**_MEANS)),
)


def describe_layer(
    index: int, site: str, histogram: np.ndarray, entries: np.ndarray
) -> dict:
    """Return an entry of `layers` in what `LAYERS` describes.

    Args:
        index: Of the decoder layer, from 0.
        site: What its queries enter: `'layer'`, `'self_attn'` or `'cross_attn'`.
        histogram: Entry k counts the images in which k queries entered, (nq + 1,).
        entries: How often each query index entered, (nq,). On two-stage hosts an index
            is the rank of an encoder proposal.
    """
    num_images = histogram.sum()
    total, decisions = entries.sum(), num_images * len(entries)
    entered = total / num_images  # of an image (Table 2)
    deviation = np.arange(len(histogram)) - entered
    frequencies = entries / num_images
    return dict(
        name=f'd{index}.{site}',  # as in the log
        site=site,
        entered=float(entered),
        # Over the images.
        entered_std=float(np.sqrt(deviation**2 @ histogram / num_images)),
        share=float(total / decisions),
        # How much the index alone decides.
        query_spread=float(frequencies.std()),
        # Of two images drawn at random: 0 if the image does not matter, at most 0.5.
        differing=float((2 * frequencies * (1 - frequencies)).mean()),
        # Whether (nearly) all queries of all images get the same answer.
        collapsed=bool(max(total, decisions - total) > COLLAPSED * decisions),
        histogram=histogram.tolist(),
        entries=entries.tolist(),
    )


class RoutingStatistics:
    """Counts the decisions of the routed layers of a detector while it runs.

    A batch costs a few additions on its own device and no synchronisation; `numbers`
    synchronises once.

    Args:
        detector: Has `QueryRoutingMixin`, with `query_routing` set.

    Raises:
        ConfigError: If it does not route.
    """

    def __init__(self, detector: nn.Module) -> None:
        self._layers = getattr(detector, 'routed_layers', None)
        if not self._layers:
            raise ConfigError(
                f'there is no query routing to count: this {type(detector).__name__} '
                "has none; set model.query_routing and one of this package's detectors."
            )
        self.num_queries = self._layers[0].settings.num_queries
        device = next(self._layers[0].parameters()).device
        self._numbers = torch.arange(self.num_queries + 1, device=device)
        # One row a layer: histogram, then entries; one tensor, so one reduction.
        size = (len(self._layers), 2 * self.num_queries + 1)
        self._counts = torch.zeros(size, dtype=torch.long, device=device)

    def add(self, entered: Sequence[Tensor]) -> None:
        """Count a batch.

        Args:
            entered: Which queries enter, (bs, nq) of each layer; see `Heard`.
        """
        for row, enter in zip(self._counts, entered, strict=True):
            # Comparing, since bincount and one_hot wait for the device.
            number = enter.sum(1, keepdim=True) == self._numbers
            row += torch.cat((number.sum(0), enter.sum(0)))

    def reset(self) -> None:
        """Forget what was counted."""
        self._counts.zero_()

    def numbers(self, reduce: bool = False) -> dict:
        """Return what `LAYERS` describes.

        Args:
            reduce: Sum over all processes, which must all call this. As the metrics of
                mmengine see them, an image that a sampler repeats to fill the last
                batch is counted again.
        """
        counts = self._counts.clone()
        if reduce:
            all_reduce(counts)
        rows = np.split(counts.cpu().numpy(), [self.num_queries + 1], axis=1)
        layers = [
            describe_layer(index, layer.site, *row)
            for index, (layer, *row) in enumerate(zip(self._layers, *rows, strict=True))
        ]
        return describe_layers(layers)


def describe_layers(layers: Sequence[dict]) -> dict:
    """Return what `LAYERS` describes; a site's row is the mean of its layers."""
    sites = defaultdict(list)
    for layer in layers:
        sites[layer['site']].append(layer)
    return dict(
        num_images=sum(layers[0]['histogram']),
        num_queries=len(layers[0]['entries']),
        layers=list(layers),
        sites={
            site: {key: float(np.mean([row[key] for row in rows])) for key in _MEANS}
            for site, rows in sites.items()
        },
    )


def warn_of_collapse(layer: dict) -> str:
    """Tell in one sentence where, how much, what it means, what to try.

    Args:
        layer: Of `layers` in what `LAYERS` describes.
    """
    index, _, site = layer['name'][1:].partition('.')
    share = layer['share']
    verb, result = ('enter', 'routing saves nothing there')
    if share <= 0.5:
        share = 1 - share
        verb, result = ('bypass it', 'it is as good as removed')
    return (
        f'Query routing has collapsed in decoder layer {index} at {site!r}: '
        f'{100 * share:.1f} % of the queries {verb} (over {100 * COLLAPSED:.0f} %), '
        f'so it no longer chooses between queries and {result}; try '
        "query_routing.policy=dict(type='StandardizedPolicy'), which compares the "
        'queries of one image with each other, or a threshold nearer to 0 if that is '
        'in use.'
    )


def draw_layers(numbers: dict) -> Figure:
    """Draw how many queries enter in how many images: a panel a site (Fig. 4).

    Args:
        numbers: See `LAYERS`.
    """
    width = 3.1 * len(numbers['sites']) + 0.4
    figure = Figure(figsize=(width, 2.9), layout='constrained')
    draw_histograms(figure, numbers)
    return figure


def draw_histograms(figure: FigureBase, numbers: dict) -> None:
    """Draw the panels of `draw_layers` into a figure or a part of one."""
    sites, num_queries = numbers['sites'], numbers['num_queries']
    panels = figure.subplots(1, len(sites), sharex=True, squeeze=False)[0]
    width = -(-(num_queries + 1) // NUM_BARS)
    starts = np.arange(0, num_queries + 1, width)
    edges = np.append(starts, starts[-1] + width) - 0.5
    for axes, site in zip(panels, sites, strict=True):
        members = [layer for layer in numbers['layers'] if layer['site'] == site]
        for number, layer in enumerate(members):
            images = np.add.reduceat(layer['histogram'], starts)
            percent = 100 * images / numbers['num_images']
            style = dict(color=f'C{number}', linewidth=1.2)
            axes.stairs(percent, edges, fill=True, alpha=0.3, color=style['color'])
            index = layer['name'].partition('.')[0]
            label = f'{index}, mean {layer["entered"]:.1f}'
            axes.stairs(percent, edges, label=label, **style)
            axes.axvline(layer['entered'], linestyle='--', **style)
        axes.set(
            title=f'{PAPER_NAMES[site]} ({site})',
            xlabel=f'queries that enter (of {num_queries})',
            xlim=(-0.02 * num_queries - 0.5, 1.02 * num_queries + 0.5),
        )
        axes.margins(y=0.06 + 0.08 * len(members))  # room for the legend
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel('images (%)')
