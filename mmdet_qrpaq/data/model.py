"""What of a model depends on the data: classes and queries."""

import math
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError
from .decision import Decision
from .facts import Facts

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
    """Give the fullest image queries enough; patterns stay in proportion."""
    model = cfg.model
    before = model.get('num_queries')
    if before is None:
        return []
    wanted = math.ceil(QUERIES_AN_OBJECT * facts.most_objects)
    rounded = math.ceil(wanted / _ROUND) * _ROUND
    fullest = f'{facts.most_objects} objects in the fullest image ({facts.crowded})'
    if wanted <= before:
        why = f"the config's; {fullest}"
    else:
        model.num_queries = max(before, min(rounded, MOST_QUERIES))
        why = (
            f'{fullest}, {QUERIES_AN_OBJECT} queries for each; the config has {before}'
        )
        if wanted > model.num_queries:
            why += f', and more than {MOST_QUERIES} cost too much'
    what = f'{model.num_queries} queries'
    patterns = (model.get('pattern_query') or {}).get('num_patterns')
    if patterns:
        patterns = max(2, round(patterns * model.num_queries / before))
        model.pattern_query.num_patterns = patterns
        what += f' of {patterns} patterns'
    test = model.get('test_cfg') or {}
    if test.get('max_per_img', math.inf) < wanted:
        test['max_per_img'] = min(rounded, model.num_queries)
        what += f', {test["max_per_img"]} detections an image'
    return [Decision('model', what, why)]


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
