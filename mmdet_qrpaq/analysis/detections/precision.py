"""AP of models over all, by size, by class and without duplicates."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ...errors import ConfigError
from ...records.metrics import AP_NAMES
from ...records.schema import COUNT, NUMBER, TEXT, fields, list_of, or_none, table_of
from ...records.tables import Table, percent
from ...runtime.building import quietly
from ..class_axis import name_columns
from ..object_sizes import object_counts
from ..one_pass import SeenBatch
from ..trained_detector import TrainedModel
from .average_precision import NO_AP, build_evaluator, copy_evaluator
from .duplicates import NmsObserver

SCHEMA = fields(
    models=list_of(
        fields(
            name=TEXT,
            num_images=COUNT,
            AP=table_of(or_none(NUMBER)),
            AP_with_nms=NUMBER,
            classes=table_of(or_none(NUMBER)),
        )
    )
)


class PrecisionObserver:
    """Shows a model's detections to its config's own evaluator.

    Args:
        model: Whose detections they are.

    Raises:
        ConfigError: The config has no evaluator, or one of other images.
    """

    images = None

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self._evaluator = build_evaluator(model, classwise=True)
        self._without_duplicates = NmsObserver(copy_evaluator(self._evaluator))
        self._found = 0

    def see(self, batch: SeenBatch) -> None:
        """Take note of a batch."""
        self._evaluator.process(batch.samples, batch.raw)
        self._without_duplicates.see(batch)
        self._found += sum(len(sample.pred_instances) for sample in batch.samples)

    def numbers(self) -> dict:
        """Return the model's entry in what `SCHEMA` describes.

        Raises:
            ConfigError: The evaluator gives no AP of boxes.
        """
        model = self._model
        if not self._found:
            return _nothing_found(model)
        num_images = len(model.dataloader.dataset)
        with quietly():
            found = self._evaluator.evaluate(num_images)
        # 'coco/' comes first; the name of a class may have a slash of its own.
        found = {key.partition('/')[2]: _number(value) for key, value in found.items()}
        if AP_NAMES['AP'] not in found:
            raise ConfigError(f'{model.config}: {NO_AP}')
        return dict(
            name=model.name,
            num_images=num_images,
            AP={name: found.get(key) for name, key in AP_NAMES.items()},
            AP_with_nms=self._without_duplicates.precision(),
            classes={name: found.get(f'{name}_precision') for name in model.classes},
        )


def _nothing_found(model: TrainedModel) -> dict:
    """Return zeros where there are objects; mmdet's metric then says nothing at all."""
    data = object_counts(model.dataloader.dataset)
    whole = 0.0 if data['num_objects'] else None
    sizes = [0.0 if count else None for count in data['sizes'].values()]
    names = data['classes'].items()
    return dict(
        name=model.name,
        num_images=data['num_images'],
        AP=dict(zip(AP_NAMES, [whole] * 3 + sizes, strict=True)),
        AP_with_nms=0.0,
        classes={name: 0.0 if count else None for name, count in names},
    )


def observe(models: Sequence[TrainedModel]) -> list[PrecisionObserver]:
    """Return observers that show detections to the evaluators."""
    return list(map(PrecisionObserver, models))


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[PrecisionObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes (None: there is no such object), and the figure.

    Raises:
        ConfigError: A config has no evaluator with an AP of boxes.
    """
    numbers = dict(models=[observer.numbers() for observer in observers])
    return numbers, draw(numbers)


def _number(value: float) -> float | None:
    """Replace COCO's -1 and, by class, NaN for 'there is no such object' by None."""
    return None if math.isnan(value) or value < 0 else float(value)


def tables(numbers: dict) -> list[Table]:
    """Tabulate AP by size, then by class."""
    models = numbers['models']
    by_size = [
        [m['name'], *map(percent, [*m['AP'].values(), m['AP_with_nms']])]
        for m in models
    ]
    found = [Table('AP, %', ['model', *models[0]['AP'], 'AP with NMS'], by_size)]
    by_class: dict[tuple[str, ...], list] = {}
    for m in models:
        row = [m['name'], *map(percent, m['classes'].values())]
        by_class.setdefault(tuple(m['classes']), []).append(row)
    for classes, rows in by_class.items():
        found.append(Table('AP by class, %', ['model', *classes], rows))
    return found


def draw(numbers: dict) -> Figure:
    """Draw AP by size, and by class if all have the same, a bar a model."""
    models = numbers['models']
    classes = list(models[0]['classes'])
    if any(list(model['classes']) != classes for model in models):
        classes = []
    names = [f'class {name}' if name.isdigit() else name for name in classes]
    groups = [*AP_NAMES, *names]
    width = min(14.0, max(7.0, 0.28 * len(groups) * (1 + 0.35 * len(models))))
    figure = Figure(figsize=(width, 3.4), layout='constrained')
    axes = figure.subplots()
    places = np.arange(len(groups)) + np.where(np.arange(len(groups)) < 6, 0, 0.6)
    bar = 0.82 / len(models)
    for number, model in enumerate(models):
        values = [*model['AP'].values(), *(model['classes'][name] for name in classes)]
        heights = [np.nan if value is None else 100 * value for value in values]
        shift = (number - (len(models) - 1) / 2) * bar
        hatch = ('', '//', '..', 'xx')[number % 4]
        axes.bar(
            places + shift,
            heights,
            0.94 * bar,
            label=model['name'],
            hatch=hatch,
            edgecolor='white',
            linewidth=0,
        )
    name_columns(axes, places, groups)
    axes.set(ylabel='AP (%)', ylim=(0, 100), xlim=(-0.7, places[-1] + 0.7))
    images = dict.fromkeys(str(model['num_images']) for model in models)
    axes.set_title(f'{" and ".join(images)} images', fontsize=9, loc='left')
    axes.grid(axis='y', color='0.92')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    # Above: bars may reach the top anywhere.
    axes.legend(
        frameon=False,
        fontsize=8,
        ncols=4,
        loc='lower right',
        bbox_to_anchor=(1, 1),
        borderaxespad=0,
    )
    return figure
