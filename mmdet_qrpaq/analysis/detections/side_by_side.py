"""Ground truth beside the detections of one model or several (QR-DETR Fig. 5).

Called by ``tools/analysis/side_by_side.py``. What makes a detection correct, wrong or
differing is told by :mod:`.detection_outcomes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from rich.progress import track

from ...errors import ConfigError
from ...records.schema import COUNT, SHARE, TEXT, fields, list_of
from ..trained_detector import TrainedModel, box_scale, boxes_follow_resize
from .outcomes import Outcome, judge

_COUNTS = dict(correct=COUNT, wrong=COUNT, missed=COUNT, differing=COUNT)
SCHEMA = fields(
    score_threshold=SHARE,
    iou_threshold=SHARE,
    select={'enum': ['differing', 'spread']},
    num_images=COUNT,
    num_objects=COUNT,
    models=list_of(fields(name=TEXT, **_COUNTS)),
    pictures=list_of(fields(file=TEXT, models=list_of(fields(**_COUNTS)))),
)


@dataclass(eq=False)
class Scene:
    """One picture: what is in it, and what each model makes of it.

    Attributes:
        file: Path of the picture.
        truth: Objects, `bboxes` (x1, y1, x2, y2; pixels of the file) and `labels`.
        outcomes: One a model, in the same pixels.
    """

    file: str
    truth: InstanceData
    outcomes: list[Outcome]

    @property
    def disagreement(self) -> int:
        """How interesting it is: differing detections, or one model's mistakes."""
        if len(self.outcomes) > 1:
            return sum(int(outcome.differs.sum()) for outcome in self.outcomes)
        numbers = self.outcomes[0].numbers()
        return numbers['wrong'] + numbers['missed']

    def drop_masks(self) -> None:
        """Keep what is counted, without what only a picture shows."""
        for instances in (self.truth, *(outcome.found for outcome in self.outcomes)):
            instances.pop('masks', None)


def look_at_pictures(
    models: Sequence[TrainedModel],
    *,
    num_pictures: int = 12,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
    select: str = 'spread',
) -> list[Scene]:
    """Choose pictures and run the models on them.

    Args:
        models: Their data loaders name the same pictures in the same order; each
            model sees them in the size its own config asks for.
        num_pictures: At least 1; fewer are chosen if there are fewer.
        score_threshold: Detections below it do not count; in [0, 1].
        iou_threshold: In [0, 1].
        select: ``'spread'`` evenly over the data set, or the most ``'differing'``,
            for which all pictures are looked at.

    Returns:
        All that were looked at; `chosen` picks those to draw.

    Raises:
        ConfigError: There is nothing to draw, or the models see other pictures.
    """
    if num_pictures < 1:
        raise ConfigError('side by side needs at least one picture.')
    datasets = [model.dataloader.dataset for model in models]
    total = len(datasets[0])
    if any(len(dataset) != total for dataset in datasets):
        sizes = ', '.join(f'{m.name} {len(m.dataloader.dataset)}' for m in models)
        raise ConfigError(
            'side by side needs the same pictures for all models, and their data sets '
            f'differ in number ({sizes}); give the configs the same ann_file.'
        )
    indices = np.arange(total)
    if select == 'spread':
        number = min(num_pictures, total)
        indices = np.linspace(0, total - 1, number).round().astype(int)
    resized = [boxes_follow_resize(dataset) for dataset in datasets]
    scenes, pictured = [], []
    for index in track(indices, 'detecting'):
        samples = [
            _detect(model, int(index), follows)
            for model, follows in zip(models, resized, strict=True)
        ]
        if len({sample.img_path for sample in samples}) > 1:
            paths = ' and '.join(dict.fromkeys(s.img_path for s in samples))
            raise ConfigError(
                f'side by side needs the same pictures for all models, and number '
                f'{index + 1} is {paths}; give the configs the same ann_file.'
            )
        founds = [sample.pred_instances for sample in samples]
        founds = [found[found.scores >= score_threshold] for found in founds]
        truth = samples[0].gt_instances
        crowds = samples[0].get('ignored_instances')
        outcomes = judge(truth, founds, iou_threshold, crowds)
        scenes.append(Scene(samples[0].img_path, truth, outcomes))
        # Masks of all pictures of a data set would fill the memory.
        pictured.append(scenes[-1])
        if len(pictured) > num_pictures:
            *pictured, left_out = by_disagreement(pictured)
            left_out.drop_masks()
    return scenes


def _detect(model: TrainedModel, index: int, resized: bool) -> DetDataSample:
    """Run a model on one picture; all boxes are in pixels of the file."""
    batch = model.dataloader.collate_fn([model.dataloader.dataset[index]])
    with torch.no_grad():
        sample = model.detector.test_step(batch)[0].cpu()
    if resized:
        for objects in (sample.gt_instances, sample.get('ignored_instances')):
            if objects is not None:
                objects.bboxes = objects.bboxes / box_scale(sample, objects.bboxes)
    return sample


def chosen(scenes: Sequence[Scene], num_pictures: int) -> list[Scene]:
    """Return the scenes with the most disagreement, most first; earlier ones first."""
    if len(scenes) <= num_pictures:
        return list(scenes)
    return by_disagreement(scenes)[:num_pictures]


def by_disagreement(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes, those with the most first; of equal ones the earlier."""
    return sorted(scenes, key=lambda scene: -scene.disagreement)


def collect_numbers(
    names: Sequence[str],
    scenes: Sequence[Scene],
    drawn: Sequence[Scene],
    **settings: float | str,
) -> dict:
    """Return what `SCHEMA` describes.

    Args:
        names: Of the models.
        scenes: All that were looked at.
        drawn: Those of the picture.
        settings: Thresholds and how pictures were selected.
    """
    totals = []
    for number, name in enumerate(names):
        rows = [scene.outcomes[number].numbers() for scene in scenes]
        sums = {key: sum(row[key] for row in rows) for key in _COUNTS}
        totals.append(dict(name=name, **sums))
    return dict(
        **settings,
        num_images=len(scenes),
        num_objects=sum(len(scene.truth) for scene in scenes),
        models=totals,
        pictures=[
            dict(
                file=scene.file,
                models=[outcome.numbers() for outcome in scene.outcomes],
            )
            for scene in drawn
        ],
    )
