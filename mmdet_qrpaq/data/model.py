"""What of a model depends on the data: classes and queries."""

import math
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError
from ..settings.decision import Decision
from .facts import Facts
from .image_sizes import smallest_images

# Queries an object of the fullest image, and where more of them cost too much.
QUERIES_AN_OBJECT = 1.5
MOST_QUERIES = 900
_ROUND = 50


def set_num_classes(cfg: Config, num_classes: int) -> None:
    """Set it in every head; the denoising generator takes it from there.

    Raises:
        ConfigError: No head says how many classes it has.
    """
    heads = list(_heads(cfg.model))
    if not heads:
        raise ConfigError(
            'no head of the model has num_classes, so it cannot be fitted to data; '
            'choose the config of another detector.'
        )
    for head in heads:
        head['num_classes'] = num_classes


def fit_queries(cfg: Config, facts: Facts) -> list[Decision]:
    """Give the fullest image queries enough; patterns stay in proportion.

    A two-stage host chooses its queries among the positions of an image, so it gets no
    more than the smallest image has.
    """
    model = cfg.model
    before = model.get('num_queries')
    if before is None:
        return []
    wanted = math.ceil(QUERIES_AN_OBJECT * facts.most_objects)
    rounded = math.ceil(wanted / _ROUND) * _ROUND
    enough = before if wanted <= before else max(before, min(rounded, MOST_QUERIES))
    most = min(
        (_positions(model, size) for size in smallest_images(cfg, facts.image_sizes)),
        default=enough,
    )
    now = model.num_queries = min(enough, most)
    why = f'{facts.most_objects} objects in {facts.crowded}, the fullest'
    if now < enough:
        why = f'the smallest image has no more positions; {before} in the config, {why}'
    elif now == before:
        why = f"the config's; {why}"
    else:
        why += f', {QUERIES_AN_OBJECT} queries for each; the config has {before}'
    if wanted > now == MOST_QUERIES:
        why += f', and more than {MOST_QUERIES} cost too much'
    what = f'{now} queries'
    patterns = (model.get('pattern_query') or {}).get('num_patterns')
    if patterns:
        patterns = max(1, round(patterns * now / before))
        model.pattern_query.num_patterns = patterns
        what += f' of {patterns} patterns'
    test = model.get('test_cfg') or {}
    detections = test.get('max_per_img')
    if detections and (detections < wanted or detections > now < before):
        test['max_per_img'] = min(max(detections, rounded), now)
        what += f', {test["max_per_img"]} detections an image'
    return [Decision('model', what, why)]


def _positions(model: dict, size: tuple[int, int]) -> float:
    """Count what a two-stage host can choose from; infinite for others.

    The levels of a backbone are 4, 8, 16... times as coarse as the image; what the neck
    adds goes on like this.
    """
    is_two_stage = model.get('as_two_stage') or str(model.get('type')).endswith('DINO')
    levels = (model.get('backbone') or {}).get('out_indices')
    if not is_two_stage or not levels:
        return math.inf
    neck = model.get('neck') or {}
    used = sorted(levels)[-len(neck.get('in_channels', levels)) :]
    added = max(0, neck.get('num_outs', len(used)) - len(used))
    used += [used[-1] + 1 + index for index in range(added)]
    return sum(
        math.prod(math.ceil(side / (4 * 2**level)) for side in size) for level in used
    )


def _heads(part: Any, name: str = '') -> Iterator[dict]:
    """Yield what has a number of classes, but for the backbone's own."""
    if isinstance(part, list | tuple):
        for item in part:
            yield from _heads(item, name)
    elif isinstance(part, dict) and name != 'backbone':
        if 'num_classes' in part:
            yield part
        for key, inner in part.items():
            yield from _heads(inner, key)
