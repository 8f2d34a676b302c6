"""AP of predictions, measured by a config's own evaluator."""

import copy

from mmengine.evaluator import Evaluator

from ...errors import ConfigError
from ...records.metrics import AP_NAMES
from ...records.schema import SHARE, fields
from ...runtime.building import quietly
from ...settings.metrics import evaluators_of, is_coco
from ..trained_detector import TrainedModel

# Average precision of boxes: COCO's mean over IoU thresholds, at 0.5, at 0.75.
PRECISION = fields(ap=SHARE, ap50=SHARE, ap75=SHARE)

NO_AP = (
    'the evaluator gives no AP of boxes: it is no CocoMetric with metric="bbox", or '
    'nothing was detected.'
)


def build_evaluator(model: TrainedModel, classwise: bool = False) -> Evaluator:
    """Build the evaluator of a model's config, for its data loader's classes.

    It writes no predictions: those of a test may lie where the config puts them.

    Args:
        classwise: Whether COCO's metric tells the AP of each class, too.

    Raises:
        ConfigError: There is none, it measures nothing, its annotation file does not
            exist, or tells of other images.
    """
    settings = evaluators_of(model.cfg, model.split)
    if not settings:
        raise ConfigError('the config has no evaluator for these images; add one.')
    dataset = model.dataloader.dataset  # first: it sets the scope that names are of
    settings = [dict(metric) for metric in settings]
    for metric in settings:
        metric.pop('outfile_prefix', None)
        if classwise and is_coco(metric):
            metric['classwise'] = True
    if any(metric.get('format_only') for metric in settings):
        raise ConfigError('an evaluator with format_only gives no AP; take that away.')
    try:
        with quietly():
            evaluator = Evaluator(settings)
    except FileNotFoundError as error:
        raise ConfigError(
            f"the evaluator's {error.filename} does not exist; mend its ann_file."
        ) from error
    for metric in evaluator.metrics:
        limits = list(getattr(metric, 'proposal_nums', [100]))
        if 100 not in limits:  # pycocotools then gives -1 for AP, and AP50 beside it
            raise ConfigError(
                f"the evaluator's proposal_nums are {limits}, and AP is that of 100 "
                'detections an image: put 100 first.'
            )
        known = getattr(metric, '_coco_api', None)
        # pycocotools counts the objects of an image it was never shown as missed.
        if known is not None and len(known.imgs) != len(dataset):
            raise ConfigError(
                f'the evaluator knows {len(known.imgs)} images and the data loader '
                f'{len(dataset)}, so there is no AP of these; give both the same '
                'ann_file.'
            )
    evaluator.dataset_meta = dataset.metainfo
    return evaluator


def copy_evaluator(evaluator: Evaluator) -> Evaluator:
    """Return an evaluator with the same annotations and no predictions yet."""
    metrics = [copy.copy(metric) for metric in evaluator.metrics]
    for metric in metrics:
        metric.results = []
    return Evaluator(metrics)


def evaluate(evaluator: Evaluator, num_images: int) -> dict[str, float]:
    """Return what `PRECISION` describes, of what an evaluator has been shown.

    Raises:
        ConfigError: There are no images, no objects, or no AP of boxes.
    """
    if num_images == 0:
        raise ConfigError('the data loader has no images; mend its ann_file.')
    with quietly():
        metrics = evaluator.evaluate(num_images)
    values = {name.rpartition('/')[2]: value for name, value in metrics.items()}
    found = {n.lower(): values.get(AP_NAMES[n]) for n in ('AP', 'AP50', 'AP75')}
    if None in found.values():
        raise ConfigError(NO_AP)
    if min(found.values()) < 0:
        raise ConfigError('there is no object to find in these images, so no AP.')
    return found
