"""Whether pictures alike get pattern weights alike: t-SNE of W^D (PaQ-DETR Fig. 6).

Called by ``tools/analysis/pattern_embedding.py`` and the report. A point is

- a *picture*, as in the paper: all of its W^D, flattened, coloured by the class that
  covers the largest area; pictures without objects are left out; or
- a *detection*: the row of W^D of a query that finds its object (what that is:
  :mod:`.pattern_weights`), coloured by the object's class. Rows differ from query to
  query whatever the picture shows, so clusters of one query each are to be expected.

The picture is an impression. The number beside it is not: how often a point and its
nearest neighbour in W^D are of one class, against two points drawn at random.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torch.utils.data import Dataset

from ...errors import ConfigError
from ...records.schema import COUNT, NUMBER, SHARE, TEXT, fields, list_of
from .points import POINTS, collect_points

FEWEST = 10  # points that make a picture
ZOOM = 0.3  # of a thumbnail
ROOM = (0.08, 0.09)  # share of the picture that a thumbnail takes
COLOURED = 10  # groups with a colour of their own
SCHEMA = fields(
    points={'enum': list(POINTS)},
    num_images=COUNT,
    num_without_points=COUNT,
    perplexity=NUMBER,
    seed=COUNT,
    neighbour_agreement=SHARE,
    chance_agreement=SHARE,
    embedding=list_of(fields(image=COUNT, group=TEXT, x=NUMBER, y=NUMBER)),
)


@dataclass(frozen=True)
class PatternEmbedding:
    """Points that t-SNE laid out.

    Attributes:
        points: What a point is, ``'pictures'`` or ``'detections'``.
        positions: (n, 2).
        groups: Class or super-class of each point, n.
        images: Index in the data set of each point's picture, n.
        thumbnails: Of each point, (h, w, 3) RGB, n.
        num_images: Pictures looked at.
        perplexity: Of the t-SNE.
        seed: Of the t-SNE.
        neighbour_agreement: Share of points whose nearest neighbour in W^D is of their
            group.
        chance_agreement: Share of all pairs of points that are of one group.
    """

    points: str
    positions: np.ndarray
    groups: list[str]
    images: list[int]
    thumbnails: list[np.ndarray]
    num_images: int
    perplexity: float
    seed: int
    neighbour_agreement: float
    chance_agreement: float

    def as_dict(self) -> dict:
        """Return all but the thumbnails, as JSON types."""
        return dict(
            points=self.points,
            num_images=self.num_images,
            num_without_points=self.num_images - len(set(self.images)),
            perplexity=self.perplexity,
            seed=self.seed,
            neighbour_agreement=self.neighbour_agreement,
            chance_agreement=self.chance_agreement,
            embedding=[
                dict(image=image, group=group, x=float(x), y=float(y))
                for image, group, (x, y) in zip(
                    self.images, self.groups, self.positions, strict=True
                )
            ],
        )


def measure(
    detector: nn.Module,
    dataset: Dataset,
    *,
    points: str = 'pictures',
    groups: Mapping[str, str] | None = None,
    num_pictures: int = 200,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.7,
    seed: int = 0,
) -> PatternEmbedding:
    """Lay out W^D of pictures spread evenly over a data set.

    Args:
        detector: In eval mode, built with its `train_cfg` (it holds the assigner).
        dataset: Gives pictures with ground truth.
        points: ``'pictures'`` or ``'detections'``.
        groups: Group of each class; None are the classes themselves.
        num_pictures: Pictures to look at; fewer if there are fewer.

    Raises:
        ConfigError: The model has no patterns, there are fewer than 10 points, or all
            have the same W^D.
    """
    num_pictures = min(num_pictures, len(dataset))
    found = collect_points(
        detector, dataset, points, num_pictures, score_threshold, iou_threshold
    )
    if len(found) < FEWEST:
        raise ConfigError(
            f't-SNE needs at least {FEWEST} {points}, and there are {len(found)} '
            f'{_told(points, score_threshold, iou_threshold)} in {num_pictures} '
            'pictures; take more pictures or lower the thresholds.'
        )
    names = dataset.metainfo['classes']
    groups = groups or {name: name for name in names}
    members = [groups[names[point.label]] for point in found]
    rows = np.stack([point.weights for point in found])
    perplexity = min(30.0, (len(rows) - 1) / 3)
    return PatternEmbedding(
        points=points,
        positions=_lay_out(rows, perplexity, seed),
        groups=members,
        images=[point.image for point in found],
        thumbnails=[point.thumbnail for point in found],
        num_images=num_pictures,
        perplexity=perplexity,
        seed=seed,
        neighbour_agreement=neighbour_agreement(rows, members),
        chance_agreement=chance_agreement(members),
    )


def neighbour_agreement(rows: np.ndarray, groups: list[str]) -> float:
    """Return the share of rows whose nearest other row is of the same group.

    Shapes:
        rows: (n, dim), n >= 2.
    """
    # Without X a row is not its own neighbour.
    nearest = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors()[1][:, 0]
    groups = np.asarray(groups)
    return float((groups == groups[nearest]).mean())


def chance_agreement(groups: list[str]) -> float:
    """Return the share of pairs of different members that are of one group."""
    counts, n = Counter(groups).values(), len(groups)
    return sum(count * (count - 1) for count in counts) / (n * (n - 1))


def _lay_out(rows: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    if np.ptp(rows, axis=0).max() == 0:
        raise ConfigError(
            'all points have the same W^D, so there is nothing to lay out: this model '
            'does not look at the picture.'
        )
    layout = TSNE(perplexity=perplexity, init='pca', random_state=seed)
    return layout.fit_transform(rows)


def _told(points: str, score_threshold: float, iou_threshold: float) -> str:
    if points == 'pictures':
        return 'with objects'
    return f'(score >= {score_threshold:g}, IoU >= {iou_threshold:g})'


def draw(result: PatternEmbedding) -> Figure:
    """Draw all points in the colour of their group, beside thumbnails of some."""
    figure = Figure(figsize=(13, 6), layout='constrained')
    panels = figure.subplots(1, 2)
    counts = Counter(result.groups).most_common()
    coloured = dict(counts if len(counts) <= COLOURED + 1 else counts[:COLOURED])
    palette = colormaps['tab20' if len(coloured) > 10 else 'tab10'].colors
    colours = dict(zip(coloured, palette, strict=False)) | {'other': (0.6, 0.6, 0.6)}
    shown = [name if name in coloured else 'other' for name in result.groups]
    for name, colour in colours.items():
        if count := shown.count(name):
            members = result.positions[[group == name for group in shown]]
            style = dict(s=26, color=colour, edgecolor='white', linewidth=0.6)
            panels[0].scatter(*members.T, label=f'{name} ({count})', **style)
    for index in _spread_out(result.positions):
        thumbnail = OffsetImage(result.thumbnails[index], zoom=ZOOM)
        frame = dict(edgecolor=colours[shown[index]], linewidth=1.8)
        place = tuple(result.positions[index])
        box = AnnotationBbox(thumbnail, place, bboxprops=frame, pad=0.1)
        panels[1].add_artist(box)
    low, high = result.positions.min(0), result.positions.max(0)
    room = 0.06 * (high - low)
    for axes in panels:
        axes.update_datalim([low - room, high + room])
        axes.autoscale_view()
        axes.set(xticks=[], yticks=[], xlabel='t-SNE 1', ylabel='t-SNE 2')
    what, group = 'row of W$^D$', 'group'
    seen = f'{len(shown)} detections in {result.num_images} pictures'
    if result.points == 'pictures':
        what, group, seen = 'W$^D$', 'main group', f'{len(shown)} pictures'
    panels[0].set_title(
        f'nearest neighbour of the same {group}: '
        f'{100 * result.neighbour_agreement:.0f} % '
        f'(by chance {100 * result.chance_agreement:.0f} %)',
        fontsize=10,
    )
    panels[1].set_title('some of them', fontsize=10)
    perplexity = f'perplexity {result.perplexity:.0f}, seed {result.seed}'
    figure.suptitle(f'{what} of {seen}; t-SNE, {perplexity}', fontsize=11)
    figure.legend(loc='outside right upper', frameon=False, fontsize=8, title=group)
    return figure


def _spread_out(positions: np.ndarray) -> list[int]:
    """Choose points, in order, whose thumbnails do not touch."""
    scaled = positions / np.ptp(positions, axis=0).clip(1e-9) / ROOM
    kept: list[int] = []
    for index, place in enumerate(scaled):
        if not kept or np.abs(scaled[kept] - place).max(1).min() > 1:
            kept.append(index)
    return kept
