"""Which classes are taken for which, which objects are missed, what is not there."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ...operating_points import best_point
from ...records.schema import COUNT, SHARE, TEXT, fields, list_of
from ...records.tables import Table, percent
from ..detections.looks import DetectionsObserver
from ..detections.section import BEST
from ..trained_detector import TrainedModel
from .graded import Graded, grade_seen, observe

__all__ = ['SCHEMA', 'conclude', 'observe', 'tables']
BACKGROUND, MISSED, OTHERS = 'background', 'missed', 'other classes'
LEGIBLE = 20  # classes of a figure
ROWS = 12  # of a table
SCHEMA = fields(
    iou_threshold=SHARE,
    models=list_of(
        fields(
            name=TEXT,
            score_threshold=SHARE,
            classes=list_of(TEXT),
            # Row, column and number of what is there: places in `classes`, the next
            # place is the background.
            cells=list_of(list_of(COUNT)),
        )
    ),
)


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[DetectionsObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure."""
    chosen = observers[0].chosen
    rows = []
    for model, observer in zip(models, observers, strict=True):
        graded = grade_seen(observer)
        least = chosen['score_threshold']
        if least == BEST:
            objects = sum(graded.objects.values())
            least = best_point(graded.scores, graded.right, objects).threshold
        matrix = confusion_matrix(graded, chosen['iou_threshold'], least)
        cells = np.argwhere(matrix)
        rows.append(
            dict(
                name=model.name,
                score_threshold=least,
                classes=model.classes,
                cells=np.column_stack([cells, matrix[tuple(cells.T)]]).tolist(),
            )
        )
    numbers = dict(iou_threshold=chosen['iou_threshold'], models=rows)
    return numbers, draw(numbers)


def confusion_matrix(
    graded: Graded, iou_threshold: float, score_threshold: float
) -> np.ndarray:
    """Return counts: objects down, detections across, one more of each than classes.

    The last row is of detections on background, the last column of missed objects.
    """
    found = graded.evaluation.confusion_matrix(
        iou_threshold, max_det=max(len(graded.scores), 1), min_score=score_threshold
    )
    return found['matrix'].astype(int)


def matrix_of(model: dict) -> np.ndarray:
    """Return the matrix of a model's entry in what `SCHEMA` describes."""
    side = len(model['classes']) + 1
    matrix = np.zeros((side, side), int)
    for row, column, count in model['cells']:
        matrix[row, column] = count
    return matrix


def tables(numbers: dict) -> list[Table]:
    """Tabulate sums and the most frequent confusions of each model."""
    rows, found = [], []
    for model in numbers['models']:
        matrix = matrix_of(model)
        inner = matrix[:-1, :-1]
        right = int(np.trace(inner))
        counts = right, int(inner.sum()) - right, matrix[-1].sum(), matrix[:, -1].sum()
        least = f'{model["score_threshold"]:.3f}'
        rows.append([model['name'], least, *map(str, counts)])
        found.append(_most_frequent(model, inner, matrix.sum(1)))
    columns = ['model', 'from score', 'right', 'other class', BACKGROUND, MISSED]
    caption = f'Detections at IoU {numbers["iou_threshold"]:g}, and missed objects'
    return [Table(caption, columns, rows), *filter(None, found)]


def _most_frequent(model: dict, inner: np.ndarray, objects: np.ndarray) -> Table | None:
    wrong = inner * (1 - np.eye(len(inner), dtype=int))
    order = np.argsort(-wrong, axis=None, kind='stable')[: (wrong > 0).sum()]
    if not len(order):
        return None
    classes = model['classes']
    rows = [
        [
            classes[row],
            classes[column],
            str(wrong[row, column]),
            percent(wrong[row, column] / objects[row]),
        ]
        for row, column in zip(
            *np.unravel_index(order[:ROWS], wrong.shape), strict=True
        )
    ]
    notes = []
    if len(order) > ROWS:
        notes = [f'{ROWS} of {len(order)} pairs; the file of numbers has all.']
    return Table(
        f'{model["name"]}: most frequent confusions',
        ('object', 'taken for', 'times', 'of these objects, %'),
        rows,
        words=(0, 1),
        notes=notes,
    )


def draw(numbers: dict) -> Figure:
    """Draw the matrix of each model, or of its most confused classes."""
    models = numbers['models']
    shown = [shorten(model) for model in models]
    side = max(3.4, 1.6 + 0.42 * max(len(names) for names, _ in shown))
    size = side + 2.4, (side + 0.6) * len(models)
    figure = Figure(figsize=size, layout='compressed')
    grid = figure.subplots(len(models), 1, squeeze=False)[:, 0]
    for model, (names, matrix), axes in zip(models, shown, grid, strict=True):
        drawn = _draw_matrix(axes, names, matrix)
        axes.set_title(f'{model["name"]}, score ≥ {model["score_threshold"]:.3g}')
        figure.colorbar(drawn, ax=axes, label='of the row, %', shrink=0.7)
    return figure


def shorten(model: dict, most: int = LEGIBLE) -> tuple[list[str], np.ndarray]:
    """Return names and matrix of the most confused classes, the rest as one.

    Args:
        model: Its entry in what `SCHEMA` describes.
        most: How many classes may be shown.
    """
    matrix, classes = matrix_of(model), model['classes']
    if len(classes) <= most:
        return [*classes, BACKGROUND], matrix
    wrong = matrix[:-1, :-1] * (1 - np.eye(len(classes), dtype=int))
    order = np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind='stable')
    kept = np.sort(order[: most - 1])
    place = np.full(len(classes) + 1, len(kept))  # of the others
    place[kept], place[-1] = np.arange(len(kept)), len(kept) + 1
    short = np.zeros((len(kept) + 2,) * 2, int)
    np.add.at(short, (place[:, None], place[None]), matrix)
    return [*(classes[label] for label in kept), OTHERS, BACKGROUND], short


def _draw_matrix(axes: Axes, names: Sequence[str], matrix: np.ndarray) -> AxesImage:
    """Draw shares of the rows as colours, counts as text."""
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    drawn = axes.imshow(shares, cmap='cividis', vmin=0, vmax=100)
    columns = [*names[:-1], MISSED]
    axes.set_xticks(range(len(names)), columns, rotation=45, ha='right', fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel='detection', ylabel='object')
    for row, column in np.argwhere(matrix):
        colour = 'black' if shares[row, column] > 55 else 'white'
        text = str(matrix[row, column])
        axes.text(column, row, text, color=colour, ha='center', va='center', fontsize=7)
    return drawn
