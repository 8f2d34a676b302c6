"""Ground truth beside the detections of one model or several (QR-DETR Fig. 5).

What makes a detection correct, wrong or differing is told by `outcomes`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure

from ...errors import ConfigError
from ...operating_points import best_point
from ...records.schema import COUNT, SHARE, TEXT, fields, list_of
from ...records.tables import Table, percent
from ..one_pass import one_pass, spread
from ..trained_detector import TrainedModel, boxes_follow_resize
from .drawing import draw_side_by_side
from .looks import DetectionsObserver
from .outcomes import Scene, judge_detections
from .section import BEST, SELECT

_COUNTS = dict(correct=COUNT, wrong=COUNT, missed=COUNT, differing=COUNT)
SCHEMA = fields(
    score_threshold=SHARE,
    iou_threshold=SHARE,
    select={'enum': list(SELECT)},
    num_images=COUNT,
    num_objects=COUNT,
    models=list_of(fields(name=TEXT, **_COUNTS)),
    pictures=list_of(fields(file=TEXT, models=list_of(fields(**_COUNTS)))),
)


def observe(
    models: Sequence[TrainedModel],
    score_threshold: float | str,
    iou_threshold: float,
    num_images: int,
    select: str | None,
) -> list[DetectionsObserver]:
    """Return observers of the images that are needed, without their masks.

    Args:
        models: Their data loaders name the same images in the same order; each model
            sees them in the size that its own config asks for.
        score_threshold: Detections below it do not count; in [0, 1], or `BEST`.
        iou_threshold: In [0, 1].
        num_images: Drawn at most.
        select: `'spread'` evenly over the data set, or the most `'differing'`; None:
            the latter of several models.

    Raises:
        ConfigError: The models see other images, or know other classes.
    """
    require_same_images(models)
    select = select or ('differing' if len(models) > 1 else 'spread')
    images = None
    if select == 'spread' and score_threshold != BEST:
        images = spread(num_images, len(models[0].dataloader.dataset))
    chosen = dict(
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        num_images=num_images,
        select=select,
    )
    for model in models:
        boxes_follow_resize(model.dataloader.dataset)
    return [DetectionsObserver(model, images, chosen) for model in models]


def require_same_images(models: Sequence[TrainedModel]) -> None:
    """Refuse models that cannot be compared image by image.

    Raises:
        ConfigError: They see other images, or know other classes.
    """
    datasets = [model.dataloader.dataset for model in models]
    for model, dataset in zip(models, datasets, strict=True):
        if dataset.metainfo['classes'] != datasets[0].metainfo['classes']:
            raise ConfigError(
                'side by side compares classes by their numbers, and those of '
                f'{model.name} are not those of {models[0].name}.'
            )
    total = len(datasets[0])
    if any(len(dataset) != total for dataset in datasets):
        sizes = ', '.join(f'{m.name} {len(m.dataloader.dataset)}' for m in models)
        raise ConfigError(
            'side by side needs the same images for all models, and their data sets '
            f'differ in number ({sizes}); give the configs the same ann_file.'
        )
    for image in range(total) if len(models) > 1 else ():
        paths = dict.fromkeys(d.get_data_info(image)['img_path'] for d in datasets)
        if len(paths) > 1:
            raise ConfigError(
                'side by side needs the same images for all models, and number '
                f'{image + 1} is {" and ".join(paths)}; give the configs the same '
                'ann_file.'
            )


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[DetectionsObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure."""
    chosen, images = dict(observers[0].chosen), list(observers[0].looks)
    num_images, select = chosen.pop('num_images'), chosen['select']
    iou_threshold, reason = chosen['iou_threshold'], ''
    if chosen['score_threshold'] == BEST:
        chosen['score_threshold'], f1 = best_threshold(observers, iou_threshold)
        reason = f'best F1 on {models[0].split}: {f1:.2f}'
    if select == 'spread':
        images = spread(num_images, len(models[0].dataloader.dataset))
    thresholds = chosen['score_threshold'], iou_threshold
    scenes = scenes_of(observers, images, *thresholds)
    drawn = images
    if len(images) > num_images:
        order = sorted(images, key=lambda image: -scenes[image].disagreement)
        drawn = order[:num_images]
    numbers = dict(
        **chosen,
        num_images=len(scenes),
        num_objects=sum(len(scene.truth) for scene in scenes.values()),
        models=[
            dict(name=model.name, **_total([s.counts[n] for s in scenes.values()]))
            for n, model in enumerate(models)
        ],
        pictures=[
            dict(file=scenes[image].file, models=scenes[image].counts)
            for image in drawn
        ],
    )
    if any(observer.has_masks for observer in observers):
        observers = [DetectionsObserver(model, drawn, masks=True) for model in models]
        for model, observer in zip(models, observers, strict=True):
            one_pass(model, [observer])
        scenes = scenes_of(observers, drawn, *thresholds)
    figure = draw_side_by_side(
        [scenes[image] for image in drawn],
        [model.name for model in models],
        models[0].dataloader.dataset.metainfo,
        *thresholds,
        reason,
    )
    return numbers, figure


def best_threshold(
    observers: Sequence[DetectionsObserver], iou_threshold: float
) -> tuple[float, float]:
    """Return the best score threshold for all that was seen, and its F1.

    Several models share one threshold: their detections are counted together.
    """
    scenes = scenes_of(observers, list(observers[0].looks), 0.0, iou_threshold)
    outcomes = [outcome for scene in scenes.values() for outcome in scene.outcomes]
    point = best_point(
        torch.cat([outcome.found.scores for outcome in outcomes]).numpy(),
        torch.cat([outcome.correct for outcome in outcomes]).numpy(),
        sum(len(outcome.missed) for outcome in outcomes),
    )
    return point.threshold, point.f1


def scenes_of(
    observers: Sequence[DetectionsObserver],
    images: Sequence[int],
    score_threshold: float,
    iou_threshold: float,
) -> dict[int, Scene]:
    """Judge what the models find in some images; the truth is the first model's."""
    scenes = {}
    for image in images:
        looks = [observer.looks[image] for observer in observers]
        founds = [look.found[look.found.scores >= score_threshold] for look in looks]
        first = looks[0]
        outcomes = judge_detections(first.truth, founds, iou_threshold, first.crowds)
        scenes[image] = Scene(first.file, first.truth, outcomes)
    return scenes


def _total(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {key: sum(row[key] for row in counts) for key in _COUNTS}


def tables(numbers: dict) -> list[Table]:
    """Tabulate the counts: of all images that were looked at, and of those drawn."""
    rows = []
    for model in numbers['models']:
        correct, wrong, missed, differing = (model[key] for key in _COUNTS)
        f1 = 2 * correct / max(2 * correct + wrong + missed, 1)
        counts = map(str, (correct, wrong, missed, differing))
        rows.append([model['name'], *counts, percent(f1)])
    caption = (
        f'Detections with a score of at least {numbers["score_threshold"]:.3g} in '
        f'{numbers["num_images"]} images with {numbers["num_objects"]} objects'
    )
    whole = Table(caption, ('model', *_COUNTS, 'F1, %'), rows)
    several = len(numbers['models']) > 1
    columns = ['file']
    for model in numbers['models']:
        of = f'{model["name"]}: ' * several
        columns += [f'{of}wrong', f'{of}missed']
    rows = []
    for image in numbers['pictures']:
        counts = [str(m[key]) for m in image['models'] for key in ('wrong', 'missed')]
        rows.append([Path(image['file']).name, *counts])
    return [whole, Table('Images drawn', columns, rows)]
