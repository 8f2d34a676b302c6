"""The metrics of a config."""

from mmengine.config import Config

from ..class_name import class_name


def evaluators_of(cfg: Config, split: str) -> list[dict]:
    """Return the metrics of `val` or `test`; a config may have one, several or none."""
    evaluator = cfg.get(f'{split}_evaluator') or []
    return [evaluator] if isinstance(evaluator, dict) else evaluator


def is_coco(metric: dict) -> bool:
    """Tell whether a metric is COCO's: mmdet's class, or ours that takes less time."""
    return class_name(metric['type']) in ('CocoMetric', 'FastCocoMetric')
