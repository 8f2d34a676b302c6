"""At what size images are seen, in every pipeline of a config."""

from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError
from ..settings.decision import Decision
from .facts import Facts

_TO_LIMITS = ('Resize', 'FixScaleResize')
RESIZES = (
    *(*_TO_LIMITS, 'FixShapeResize'),
    *('RandomResize', 'RandomChoiceResize', 'RandomChoice'),
)
_CROPS = ('RandomCrop', 'MinIoURandomCrop')
# Beyond twice its size an image shows no more, and costs four times as much.
MOST_ENLARGED = 2
_SIZES = ('scale', 'scales', 'crop_size', 'img_scale')
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def fit_image_sizes(cfg: Config, facts: Facts, longest: int | None) -> list[Decision]:
    """Choose the size of the images; all sizes of a config change alike.

    Args:
        longest: The longest side that was asked for, pixels.
    """
    if longest:
        set_image_size(cfg, longest)
        what = f'images up to {longest} x {longest} pixels'
        return [Decision('train_dataloader', what, '--image-size')]
    limits = image_limits(cfg)
    if limits is None or facts.image_size is None:
        return []
    sides = sorted(facts.image_size, reverse=True)
    enlarged = min(limit / side for limit, side in zip(limits, sides, strict=True))
    most = f'most are about {sides[0]} x {sides[1]}'
    if enlarged <= MOST_ENLARGED:
        what = f'images up to {limits[0]} x {limits[1]} pixels'
        why = f"the config's; {most} and become {enlarged:.2g} times as large"
    else:
        _scale_sizes(cfg, MOST_ENLARGED / enlarged)
        what = 'images up to {} x {} pixels'.format(*image_limits(cfg))
        why = (
            f'{most}, {MOST_ENLARGED} times as large is enough; the config has '
            f'{limits[0]} x {limits[1]}'
        )
    return [Decision('train_dataloader', what, why)]


def set_image_size(cfg: Config, longest: int) -> None:
    """Resize all images to one longest side.

    In training this takes the place of random sizes and of crops after them; a flip
    stays.

    Raises:
        ConfigError: A loader has no step that resizes.
    """
    resize = dict(type='Resize', scale=(longest, longest), keep_ratio=True)
    for loader in filter(cfg.get, _LOADERS):
        resized = False
        for holder in _pipeline_holders(cfg[loader].dataset):
            steps = []
            for step in holder['pipeline']:
                kind = _kind(step)
                if kind in RESIZES and resize not in steps:
                    steps.append(resize)
                elif kind not in (*RESIZES, *_CROPS) or resize not in steps:
                    steps.append(step)
            holder['pipeline'] = steps
            resized |= resize in steps
        if not resized:
            raise ConfigError(
                f'no step of the pipeline in {loader} resizes images, which is what '
                "--image-size changes; add dict(type='Resize', ...) to it, or leave "
                'the flag out.'
            )


def image_limits(cfg: Config) -> tuple[int, int] | None:
    """Return the longest and the shortest side in validation, pixels, if known."""
    for holder in _pipeline_holders(cfg.val_dataloader.dataset):
        for step in holder['pipeline']:
            if _kind(step) in _TO_LIMITS and 'scale' in step:
                (pair,) = _pairs(step['scale'])
                return max(pair), min(pair)
    return None


def longest_side(cfg: Config) -> int:
    """Return the longest side of the images in validation, pixels; 0 if unknown."""
    return (image_limits(cfg) or (0,))[0]


def smallest_images(cfg: Config, sizes: Iterable[tuple[int, int]]) -> list[tuple]:
    """Return images of these sizes as small as any pipeline makes them, pixels."""
    scales = [pair for holder in _holders(cfg) for pair in _scales(holder['pipeline'])]
    if not scales:
        return list(sizes)
    long, short = max(map(max, scales)), min(map(min, scales))
    found = []
    for size in sizes:
        factor = min(long / max(size), short / min(size))
        found.append(tuple(round(side * factor) for side in size))
    return found


def _scales(value: Any) -> Iterator[tuple[int, int]]:
    """Yield the pairs of sides that images are resized to, somewhere in a pipeline."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in children:
        if key in ('scale', 'scales'):
            yield from _pairs(inner)
        elif isinstance(inner, dict | list | tuple):
            yield from _scales(inner)


def _pairs(value: Any) -> list[tuple[int, int]]:
    """Return the sides in a setting: a number, a pair, or pairs."""
    if isinstance(value, int):
        return [(value, value)]
    nested = isinstance(value[0], list | tuple)
    return [tuple(pair) for pair in (value if nested else [value])]


def _kind(step: dict) -> str:
    """Return the name of a step, given by name, with a scope or not, or as a class."""
    kind = step['type']
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def _scale_sizes(cfg: Config, factor: float) -> None:
    for holder in _holders(cfg):
        holder['pipeline'] = _scaled(holder['pipeline'], factor)


def _scaled(value: Any, factor: float, is_size: bool = False) -> Any:
    """Return a pipeline whose sizes in pixels are multiplied; shares stay."""
    if isinstance(value, dict):
        return {k: _scaled(v, factor, k in _SIZES) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_scaled(item, factor, is_size) for item in value)
    if is_size and isinstance(value, int) and not isinstance(value, bool):
        return max(1, round(value * factor))
    return value


def _holders(cfg: Config) -> Iterator[dict]:
    for key in _LOADERS:
        if cfg.get(key):
            yield from _pipeline_holders(cfg[key].dataset)


def _pipeline_holders(dataset: dict) -> Iterator[dict]:
    """Yield a data set config and those it wraps, where they have a pipeline."""
    if 'pipeline' in dataset:
        yield dataset
    for inner in (dataset.get('dataset'), *dataset.get('datasets', ())):
        if inner is not None:
            yield from _pipeline_holders(inner)
