"""What query routing decides over many images (QR-DETR Table 2 and Fig. 4).

Denoising queries, which always enter, are not counted.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class LayerRouting:
    """Decisions of one decoder layer over a number of images.

    Attributes:
        index: Of the decoder layer, from 0.
        site: What its queries enter: `'layer'`, `'self_attn'` or `'cross_attn'`.
        histogram: Entry k counts the images in which k queries entered, (nq + 1,).
        entries: How often each query index entered, (nq,). On two-stage hosts an index
            is the rank of an encoder proposal.
    """

    index: int
    site: str
    histogram: np.ndarray
    entries: np.ndarray

    @property
    def name(self) -> str:
        """As in the log, e.g. `d0.layer`."""
        return f'd{self.index}.{self.site}'

    @property
    def num_images(self) -> int:
        """Images counted."""
        return int(self.histogram.sum())

    @property
    def entered(self) -> float:
        """Mean number of queries that enter, per image (Table 2)."""
        return float(self.entries.sum() / self.num_images)

    @property
    def entered_std(self) -> float:
        """Standard deviation of that number over the images."""
        deviation = np.arange(len(self.histogram)) - self.entered
        return float(np.sqrt(deviation**2 @ self.histogram / self.num_images))

    @property
    def share(self) -> float:
        """Share of all (image, query) decisions that are 'enter'."""
        return self.entered / len(self.entries)

    @property
    def frequencies(self) -> np.ndarray:
        """Share of the images in which each query index enters, (nq,)."""
        return self.entries / self.num_images

    @property
    def query_spread(self) -> float:
        """Standard deviation of the frequencies: how much the index alone decides."""
        return float(self.frequencies.std())

    @property
    def differing(self) -> float:
        """Share of decisions that differ between two images drawn at random.

        The mean over the queries of 2 p (1 - p), p being the query's frequency: 0 if
        the image does not matter, at most 0.5.
        """
        return float((2 * self.frequencies * (1 - self.frequencies)).mean())

    @property
    def collapsed(self) -> bool:
        """Whether (nearly) all queries of all images get the same answer."""
        entered, decisions = self.entries.sum(), self.num_images * len(self.entries)
        return bool(max(entered, decisions - entered) > COLLAPSED * decisions)

    def numbers(self) -> dict[str, float]:
        """Return what a table shows."""
        return dict(
            entered=self.entered,
            entered_std=self.entered_std,
            share=self.share,
            query_spread=self.query_spread,
            differing=self.differing,
        )

    def as_dict(self) -> dict:
        """Return everything, as JSON types."""
        return dict(
            name=self.name,
            site=self.site,
            **self.numbers(),
            collapsed=self.collapsed,
            histogram=self.histogram.tolist(),
            entries=self.entries.tolist(),
        )


class RoutingStatistics:
    """Counts the decisions of the routed layers of a detector while it runs.

    A batch costs a few additions on its own device and no synchronisation; `layers`
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

    def layers(self, reduce: bool = False) -> list[LayerRouting]:
        """Return what was counted, layer by layer.

        Args:
            reduce: Sum over all processes, which must all call this. As the metrics of
                mmengine see them, an image that a sampler repeats to fill the last
                batch is counted again.
        """
        counts = self._counts.clone()
        if reduce:
            all_reduce(counts)
        rows = np.split(counts.cpu().numpy(), [self.num_queries + 1], axis=1)
        return [
            LayerRouting(index, layer.site, histogram, entries)
            for index, (layer, histogram, entries) in enumerate(
                zip(self._layers, *rows, strict=True)
            )
        ]


def average_sites(layers: Sequence[LayerRouting]) -> dict[str, dict[str, float]]:
    """Return means over the layers of each site (Table 2), in decoder order."""
    sites = defaultdict(list)
    for layer in layers:
        sites[layer.site].append(layer.numbers())
    return {
        site: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        for site, rows in sites.items()
    }


def describe_layers(layers: Sequence[LayerRouting]) -> dict:
    """Return what `LAYERS` describes."""
    return dict(
        num_images=layers[0].num_images,
        num_queries=len(layers[0].entries),
        layers=[layer.as_dict() for layer in layers],
        sites=average_sites(layers),
    )


def warn_of_collapse(name: str, share: float) -> str:
    """Tell in one sentence where, how much, what it means, what to try.

    Args:
        name: Of the layer, e.g. `d0.layer`.
        share: Of its queries that enter.
    """
    index, _, site = name[1:].partition('.')
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
