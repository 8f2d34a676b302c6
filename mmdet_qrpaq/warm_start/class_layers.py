"""The class layers of a checkpoint for the classes of a config, row by row by name."""

import re
from collections.abc import Sequence

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from ..errors import ConfigError
from ..runtime.building import explain_mistakes
from ..runtime.datasets import leaf_datasets, shorten

# Layers with a row a class: of heads, and the embedding of denoised labels.
_BY_CLASS = re.compile(
    r'(^|.*\.)(fc_cls|cls_branches\.\d+|label_embedding)\.(weight|bias)'
)


def metainfo_of(cfg: Config) -> dict:
    """Return what the first data set of a config says of its classes; no file is read.

    Raises:
        ConfigError: If the data set cannot be built.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    for stage in ('train', 'val', 'test'):
        loader = cfg.get(f'{stage}_dataloader')
        if loader is None:
            continue
        key, leaf = next(leaf_datasets(loader.dataset, f'{stage}_dataloader.dataset'))
        with explain_mistakes(leaf, key):
            dataset = DATASETS.build({**leaf, 'lazy_init': True, 'pipeline': []})
        return dict(dataset.metainfo)
    return {}


def classes_in(checkpoint: dict) -> tuple[str, ...] | None:
    """Return the names that a checkpoint has for its classes, if it has any.

    Older versions of mmdet wrote the key in capitals, or outside `dataset_meta`.
    """
    meta = checkpoint.get('meta') or {}
    named = {**meta, **(meta.get('dataset_meta') or {})}
    names = named.get('classes') or named.get('CLASSES')
    return tuple(names) if names else None


def match_classes(
    weights: dict[str, Tensor],
    fresh: dict[str, Tensor],
    names: Sequence[str] | None,
    wanted: Sequence[str] | None,
) -> str:
    """Give class layers the rows of the wanted classes, in their order.

    Rows of a name that both have are kept, others cut, new ones as in `fresh`. Case and
    underscores do not count: mmdet itself writes both 'traffic light' and
    'traffic_light'.

    Args:
        weights: Of a checkpoint; its class layers are replaced.
        fresh: Of a host of the wanted classes, as training would start it.
        names: The checkpoint's classes; None if it does not tell them.
        wanted: The config's classes; None if it does not tell them.

    Returns:
        What was done, for the user.

    Raises:
        ConfigError: If it cannot be told which row is which.
    """
    layers = [k for k in weights if _BY_CLASS.fullmatch(k) and k in fresh]
    sizes = [{len(of[key]) for key in layers} for of in (weights, fresh)]
    if not layers or names is None or wanted is None:
        if sizes[0] == sizes[1]:
            return f'classes: {_number(sizes[1])} kept by their order, as no names tell'
        which = 'the checkpoint names' if names is None else 'the config names'
        raise ConfigError(
            f'{which} no classes, and their number changes from {_number(sizes[0])} to '
            f'{_number(sizes[1])}; give those of the checkpoint with --classes, those '
            'of the config with metainfo of its data sets.'
        )
    for owner, classes, size, remedy in (
        ('the checkpoint', names, sizes[0], 'name all of its classes with --classes'),
        ('the config', wanted, sizes[1], 'set model.bbox_head.num_classes to that'),
    ):
        different = len(set(map(_plain, classes)))
        if different != len(classes) or size != {different}:
            raise ConfigError(
                f'{owner} has class names ({shorten(classes)}) of which {different} '
                f'are different, and class layers for {_number(size)}; {remedy}.'
            )
    place = {_plain(name): row for row, name in enumerate(names)}
    found = [place.get(_plain(name)) for name in wanted]
    kept = [row for row, old in enumerate(found) if old is not None]
    for key in layers:
        rows = fresh[key].clone()
        rows[kept] = weights[key][[found[row] for row in kept]].to(rows)
        weights[key] = rows
    cut = len(names) - len(kept)
    starting = [name for name, old in zip(wanted, found, strict=True) if old is None]
    told = f' ({shorten(starting)})' if starting else ''
    return f'classes: {len(kept)} kept, {cut} cut, {len(starting)} new{told}'


def _plain(name: str) -> str:
    return name.replace('_', ' ').casefold()


def _number(sizes: set[int]) -> str:
    return ' or '.join(map(str, sorted(sizes))) or '0'
