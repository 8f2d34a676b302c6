"""What models are and what they are looked at with; their AP by size and class.

The first two sections of the report. AP is that of the config's own evaluator.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import nn

from ...errors import ConfigError
from ...records.schema import COUNT, NUMBER, TEXT, fields, list_of, or_none, table_of
from ..class_axis import name_columns
from ..object_sizes import object_counts
from ..trained_detector import TrainedModel
from .average_precision import (
    AP_NAMES,
    another,
    build_evaluator,
    evaluate,
    quietly,
)
from .duplicates import suppress_duplicates

MODELS = fields(
    models=list_of(
        fields(
            name=TEXT,
            type=TEXT,
            parameters=COUNT,
            num_queries=or_none(COUNT),
            num_layers=or_none(COUNT),
            methods=list_of(TEXT),
        )
    ),
    data=list_of(
        fields(
            models=list_of(TEXT),
            num_images=COUNT,
            num_objects=COUNT,
            sizes=table_of(COUNT),
            classes=table_of(COUNT),
        )
    ),
)
PRECISION = fields(
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
_METHODS = dict(
    query_routing='query routing',
    pattern_query='patterns',
    mask_branch='masks',
    hybrid_branch='hybrid branch',
)


def describe_models(models: Sequence[TrainedModel]) -> dict:
    """Return what `MODELS` describes; models with equal data share an entry of it."""
    data = []
    for model in models:
        entry = object_counts(model.dataloader.dataset)
        for known in data:
            if {k: v for k, v in known.items() if k != 'models'} == entry:
                known['models'].append(model.name)
                break
        else:
            data.append(dict(models=[model.name], **entry))
    return dict(models=[_describe(model) for model in models], data=data)


def _describe(model: TrainedModel) -> dict:
    detector, settings = model.detector, model.cfg.model
    layers = getattr(getattr(detector, 'decoder', None), 'layers', None)
    methods = [name for key, name in _METHODS.items() if settings.get(key) is not None]
    if (settings.get('bbox_head') or {}).get('quality') is not None:
        methods.append('quality-aware assignment')
    return dict(
        name=model.name,
        type=type(detector).__name__,
        parameters=_count(detector),
        num_queries=getattr(detector, 'num_queries', None),
        num_layers=None if layers is None else len(layers),
        methods=methods,
    )


def _count(detector: nn.Module) -> int:
    return sum(parameter.numel() for parameter in detector.parameters())


def evaluate_models(models: Sequence[TrainedModel]) -> dict:
    """Return what `PRECISION` describes; None where there is no such object.

    Raises:
        ConfigError: A config has no evaluator, or one without an AP of boxes.
    """
    return dict(models=[_evaluate(model) for model in models])


@torch.no_grad()
def _evaluate(model: TrainedModel) -> dict:
    settings = model.cfg.get(f'{model.split}_evaluator')
    if isinstance(settings, dict) and settings.get('type') == 'CocoMetric':
        settings = dict(settings, classwise=True)
    evaluator = build_evaluator(settings, model.dataloader)
    with_nms = another(evaluator)
    num_images = len(model.dataloader.dataset)
    for batch in track(model.dataloader, 'detecting'):
        samples = model.detector.test_step(batch)
        evaluator.process(samples, batch)
        with_nms.process(suppress_duplicates(samples), batch)
    with quietly():
        found = evaluator.evaluate(num_images)
    # 'coco/' comes first; the name of a class may have a slash of its own.
    found = {key.partition('/')[2]: _number(value) for key, value in found.items()}
    if 'bbox_mAP' not in found:
        raise ConfigError(
            f'the {model.split}_evaluator of {model.config} gives no AP of boxes; use '
            'a CocoMetric with metric="bbox".'
        )
    classes = {name: found.get(f'{name}_precision') for name in model.classes}
    return dict(
        name=model.name,
        num_images=num_images,
        AP={name: found.get(key) for name, key in AP_NAMES.items()},
        AP_with_nms=evaluate(with_nms, num_images).ap,
        classes=classes,
    )


def _number(value: float) -> float | None:
    """COCO's values for 'there is no such object' are -1 and, by class, NaN."""
    return None if math.isnan(value) or value < 0 else float(value)


def draw_precision(numbers: dict) -> Figure:
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
    pictures = dict.fromkeys(str(model['num_images']) for model in models)
    axes.set_title(f'{" and ".join(pictures)} pictures', fontsize=9, loc='left')
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
