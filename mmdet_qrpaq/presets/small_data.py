"""A few hundred images of one's own."""

from mmengine.config import Config, ConfigDict

from ..errors import ConfigError
from ..settings.decision import Decision
from ..settings.length import set_epochs
from ..settings.together import leaf_datasets
from .lists import type_of


def small_data(cfg: Config, epochs: int) -> list[Decision]:
    """Train longer, on images that are changed more: for some hundred images.

    The run has at least so many epochs, its schedule stretched. After the annotations
    are loaded come SSD's steps, which RT-DETR trains with as well: other colours, a
    canvas around the image (half of the images, up to twice its sides), and a crop that
    keeps the centre of an object at least. What the pipeline has of these is left as it
    is. There is no flip that the config does not have: a mirrored 2 is no 2.

    Costs: the time of the epochs; some milliseconds an image.
    Use it: below a thousand images, from a checkpoint (`load_from`). With a hundred,
    `--freeze backbone` as well.

    Args:
        cfg: Changed in place.
        epochs: The least number.

    Raises:
        ConfigError: The run is not counted in epochs, or a train pipeline loads no
            annotations.
    """
    before = (cfg.get('train_cfg') or {}).get('max_epochs')
    if not before:
        raise ConfigError(
            'preset small_data sets a number of epochs, and train_cfg has no '
            'max_epochs; leave the preset out.'
        )
    if before < epochs:
        set_epochs(cfg, epochs)
    added = []
    for key, dataset in leaf_datasets(
        cfg.train_dataloader.dataset, 'train_dataloader.dataset'
    ):
        steps = list(dataset.get('pipeline') or ())
        kinds = [*map(type_of, steps)]
        if 'LoadAnnotations' not in kinds:
            raise ConfigError(
                f'preset small_data adds steps after LoadAnnotations, and '
                f'{key}.pipeline has none; add it, or leave the preset out.'
            )
        place = kinds.index('LoadAnnotations')
        new = [s for s in _steps(cfg, steps[place]) if s['type'] not in kinds]
        dataset['pipeline'] = [*steps[: place + 1], *new, *steps[place + 1 :]]
        added += [step['type'] for step in new]
    why = 'preset small_data'
    what = f'{epochs} epochs in place of {before}'
    if before >= epochs:
        what = f'{before} epochs, which are enough'
    decided = [Decision('train_cfg', what, why)]
    if added:
        what = f'also {", ".join(dict.fromkeys(added))}'
        decided.append(Decision('train_dataloader', what, why))
    return decided


def _steps(cfg: Config, loading: dict) -> list[ConfigDict]:
    """Return the steps; with polygons left as such, those that can change them."""
    preprocessor = cfg.model.get('data_preprocessor') or {}
    canvas = dict(
        type='Expand',
        mean=preprocessor.get('mean', (0, 0, 0)),
        to_rgb=preprocessor.get('bgr_to_rgb', False),
        ratio_range=(1, 2),
        prob=0.5,
    )
    crop = dict(type='MinIoURandomCrop')
    keeps_polygons = loading.get('with_mask') and not loading.get('poly2mask', True)
    steps = [dict(type='PhotoMetricDistortion'), canvas, crop]
    return [ConfigDict(s) for s in (steps[:1] if keeps_polygons else steps)]
