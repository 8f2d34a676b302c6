"""Settings that cannot work beside one another, and have one right value."""

from collections.abc import Iterator
from colorsys import hsv_to_rgb
from itertools import count, islice

from mmdet.registry import DATASETS
from mmengine.config import Config

Colour = tuple[int, int, int]
# What torch refuses where there are none.
_OF_WORKERS = (
    *('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context'),
)
_GOLDEN = 0.618034  # steps of hue that come back to none of the hues before


def bring_together(cfg: Config) -> None:
    """Change the data loaders of a config, in place, so that they work.

    - Without worker processes nothing is said about them.
    - A palette that is shorter than the list of classes gets more colours.
    - A palette is a list, and one colour for all classes a tuple: mmdet tells by this.
    """
    for stage in ('train', 'val', 'test'):
        loader = cfg.get(f'{stage}_dataloader')
        if not isinstance(loader, dict):
            continue
        if not loader.get('num_workers'):
            for name in _OF_WORKERS:
                loader.pop(name, None)
        if isinstance(loader.get('dataset'), dict):
            for _, dataset in leaf_datasets(loader.dataset, ''):
                _complete_palette(dataset)


def leaf_datasets(cfg: dict, key: str) -> Iterator[tuple[str, dict]]:
    """Yield (config key, dataset config) below RepeatDataset, ConcatDataset etc."""
    if 'dataset' in cfg:
        yield from leaf_datasets(cfg['dataset'], f'{key}.dataset')
    elif 'datasets' in cfg:
        for index, inner in enumerate(cfg['datasets']):
            yield from leaf_datasets(inner, f'{key}.datasets.{index}')
    else:
        yield key, cfg


def more_colours(palette: list[Colour], number: int) -> list[Colour]:
    """Return a palette of at least this many colours, the given ones first."""
    hues = (step * _GOLDEN % 1 for step in count())
    made = (tuple(round(255 * x) for x in hsv_to_rgb(hue, 0.75, 1)) for hue in hues)
    new = (colour for colour in made if colour not in palette)
    return [*palette, *islice(new, max(0, number - len(palette)))]


def _complete_palette(dataset: dict) -> None:
    """Give every class of a data set a colour, if any of them has one."""
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    metainfo = dataset.get('metainfo') or {}
    # mmdet's: what is not said is that of the class, also a palette for other classes.
    classes, palette = (
        metainfo.get(name) or getattr(kind, 'METAINFO', {}).get(name) or ()
        for name in ('classes', 'palette')
    )
    if not isinstance(palette, list | tuple) or not palette:
        return
    if all(isinstance(colour, list | tuple) for colour in palette):
        complete = more_colours([*map(tuple, palette)], len(classes))
    else:
        complete = tuple(palette)
    if complete != palette:
        metainfo['palette'] = complete
