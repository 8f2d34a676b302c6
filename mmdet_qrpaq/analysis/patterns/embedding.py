"""Whether images alike get pattern weights alike: t-SNE of W^D (PaQ-DETR Fig. 6).

A point is

- an *image*, as in the paper: all of its W^D, flattened, coloured by the class that
  covers the largest area; images without objects are left out; or
- a *detection*: the row of W^D of a query that finds its object (what that is:
  `weights`), coloured by the object's class. Rows differ from query to query whatever
  the image shows, so clusters of one query each are to be expected.

The figure is an impression. The number beside it is not: how often a point and its
nearest neighbour in W^D are of one class, against two points drawn at random.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from ...errors import ConfigError
from ...records.schema import COUNT, NUMBER, SHARE, TEXT, fields, list_of
from ...records.tables import Table, percent
from ..matching import require_matching
from ..one_pass import SeenBatch, spread
from ..trained_detector import TrainedModel, boxes_follow_resize
from .capture import require_patterns
from .points import Point, detections, supercategories, whole_images
from .section import BY, POINTS

WORDS = dict(pictures='images', detections='detections')
FEWEST = 10  # points that make a figure
ZOOM = 0.3  # of a thumbnail
ROOM = (0.08, 0.09)  # share of the figure that a thumbnail takes
COLOURED = 10  # groups with a colour of their own
SCHEMA = fields(
    points={'enum': list(POINTS)},
    by={'enum': list(BY)},
    num_images=COUNT,
    num_without_points=COUNT,
    perplexity=NUMBER,
    seed=COUNT,
    neighbour_agreement=SHARE,
    chance_agreement=SHARE,
    embedding=list_of(fields(image=COUNT, group=TEXT, x=NUMBER, y=NUMBER)),
)


@dataclass
class EmbeddingObserver:
    """Collects points.

    Attributes:
        images: Positions of those to look at.
        points: What a point is.
        by: What a group is.
        groups: Of each class, by label.
        thresholds: Least score and IoU of a detection.
        seed: Of the t-SNE.
        found: The points.
    """

    images: Sequence[int]
    points: str
    by: str
    groups: Sequence[str]
    thresholds: tuple[float, float]
    seed: int
    found: list[Point] = field(default_factory=list)

    def see(self, batch: SeenBatch) -> None:
        """Collect the points of a batch."""
        if self.points == 'pictures':
            found = whole_images(batch)
        else:
            found = detections(batch, *self.thresholds)
        wanted = set(self.images)
        self.found += [point for point in found if point.image in wanted]


def observe(
    models: Sequence[TrainedModel],
    points: str,
    by: str,
    num_images: int,
    score_threshold: float,
    iou_threshold: float,
    seed: int,
) -> list[EmbeddingObserver]:
    """Return an observer that collects points of images spread over the data set.

    Args:
        models: One.
        points: `'pictures'` or `'detections'`.
        by: What the groups are, `'class'` or `'supercategory'`.
        num_images: Images to look at; fewer if there are fewer.
        seed: Of the t-SNE.

    Raises:
        ConfigError: The model has no patterns, or for detections no assigner, or there
            is no ground truth or super-class.
    """
    (model,) = models
    require_patterns(model.detector)
    dataset = model.dataloader.dataset
    boxes_follow_resize(dataset)
    if points == 'detections':
        require_matching(model.detector, 'telling which detections are right')
    groups = model.classes
    if by == 'supercategory':
        found = supercategories(dataset)
        groups = [found[name] for name in groups]
    images = spread(num_images, len(dataset))
    thresholds = (score_threshold, iou_threshold)
    return [EmbeddingObserver(images, points, by, groups, thresholds, seed)]


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[EmbeddingObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure.

    Raises:
        ConfigError: There are fewer than 10 points, or all have the same W^D.
    """
    (seen,) = observers
    found, num_images = seen.found, len(seen.images)
    if len(found) < FEWEST:
        told = '(score >= {:g}, IoU >= {:g})'.format(*seen.thresholds)
        told = 'with objects' if seen.points == 'pictures' else told
        raise ConfigError(
            f't-SNE needs at least {FEWEST} {WORDS[seen.points]}, and there are '
            f'{len(found)} {told} in {num_images} images; take more images or lower '
            'the thresholds.'
        )
    groups = [seen.groups[point.label] for point in found]
    rows = np.stack([point.weights for point in found])
    perplexity = min(30.0, (len(rows) - 1) / 3)
    if np.ptp(rows, axis=0).max() == 0:
        raise ConfigError(
            'all points have the same W^D, so there is nothing to lay out: this model '
            'does not look at the image.'
        )
    layout = TSNE(perplexity=perplexity, init='pca', random_state=seen.seed)
    positions = layout.fit_transform(rows)
    numbers = dict(
        points=seen.points,
        by=seen.by,
        num_images=num_images,
        num_without_points=num_images - len({point.image for point in found}),
        perplexity=perplexity,
        seed=seen.seed,
        neighbour_agreement=neighbour_agreement(rows, groups),
        chance_agreement=chance_agreement(groups),
        embedding=[
            dict(image=point.image, group=group, x=float(x), y=float(y))
            for point, group, (x, y) in zip(found, groups, positions, strict=True)
        ],
    )
    return numbers, draw(numbers, [point.thumbnail for point in found])


def neighbour_agreement(rows: np.ndarray, groups: list[str]) -> float:
    """Return the share of rows whose nearest other row is of the same group.

    Shapes:
        rows: (n, dim), n >= 2.
    """
    # Without X a row is not its own neighbour.
    found = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors()
    nearest = found[1][:, 0]
    groups = np.asarray(groups)
    return float((groups == groups[nearest]).mean())


def chance_agreement(groups: list[str]) -> float:
    """Return the share of pairs of different members that are of one group."""
    counts, n = Counter(groups).values(), len(groups)
    return sum(count * (count - 1) for count in counts) / (n * (n - 1))


def tables(numbers: dict) -> list[Table]:
    """Tabulate how well the groups part."""
    columns = (
        'points',
        'number',
        f'nearest neighbour of the same {numbers["by"]}, %',
        'by chance, %',
    )
    row = [
        WORDS[numbers['points']],
        str(len(numbers['embedding'])),
        percent(numbers['neighbour_agreement']),
        percent(numbers['chance_agreement']),
    ]
    caption = f'Neighbours in W^D, of {numbers["num_images"]} images'
    return [Table(caption, columns, [row])]


def draw(numbers: dict, thumbnails: Sequence[np.ndarray]) -> Figure:
    """Draw all points in the colour of their group, beside thumbnails of some.

    Args:
        numbers: See `SCHEMA`.
        thumbnails: Of each point, (h, w, 3) RGB.
    """
    figure = Figure(figsize=(13, 6), layout='constrained')
    panels = figure.subplots(1, 2)
    placed = numbers['embedding']
    groups = [point['group'] for point in placed]
    positions = np.array([[point['x'], point['y']] for point in placed])
    counts = Counter(groups).most_common()
    coloured = dict(counts if len(counts) <= COLOURED + 1 else counts[:COLOURED])
    palette = colormaps['tab20' if len(coloured) > 10 else 'tab10'].colors
    colours = dict(zip(coloured, palette, strict=False)) | {'other': (0.6, 0.6, 0.6)}
    shown = [name if name in coloured else 'other' for name in groups]
    for name, colour in colours.items():
        if count := shown.count(name):
            members = positions[[group == name for group in shown]]
            style = dict(s=26, color=colour, edgecolor='white', linewidth=0.6)
            panels[0].scatter(*members.T, label=f'{name} ({count})', **style)
    for index in _spread_out(positions):
        thumbnail = OffsetImage(thumbnails[index], zoom=ZOOM)
        frame = dict(edgecolor=colours[shown[index]], linewidth=1.8)
        place = tuple(positions[index])
        box = AnnotationBbox(thumbnail, place, bboxprops=frame, pad=0.1)
        panels[1].add_artist(box)
    low, high = positions.min(0), positions.max(0)
    room = 0.06 * (high - low)
    for axes in panels:
        axes.update_datalim([low - room, high + room])
        axes.autoscale_view()
        axes.set(xticks=[], yticks=[], xlabel='t-SNE 1', ylabel='t-SNE 2')
    what, whose = 'row of W$^D$', 'of the object'
    seen = f'{len(shown)} detections in {numbers["num_images"]} images'
    if numbers['points'] == 'pictures':
        what, whose, seen = 'W$^D$', 'that covers most', f'{len(shown)} images'
    panels[0].set_title(
        f'nearest neighbour of the same {numbers["by"]}: '
        f'{100 * numbers["neighbour_agreement"]:.0f} % '
        f'(by chance {100 * numbers["chance_agreement"]:.0f} %)',
        fontsize=10,
    )
    panels[1].set_title('some of them', fontsize=10)
    perplexity = f'perplexity {numbers["perplexity"]:.0f}, seed {numbers["seed"]}'
    figure.suptitle(f'{what} of {seen}; t-SNE, {perplexity}', fontsize=11)
    title = f'{numbers["by"]} {whose}'
    figure.legend(loc='outside right upper', frameon=False, fontsize=8, title=title)
    return figure


def _spread_out(positions: np.ndarray) -> list[int]:
    """Choose points, in order, whose thumbnails do not touch."""
    scaled = positions / np.ptp(positions, axis=0).clip(1e-9) / ROOM
    kept: list[int] = []
    for index, place in enumerate(scaled):
        if not kept or np.abs(scaled[kept] - place).max(1).min() > 1:
            kept.append(index)
    return kept
