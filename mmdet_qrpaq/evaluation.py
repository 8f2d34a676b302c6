"""COCO's metric of boxes in less time: the same numbers, matched by `hotcoco`.

In a config: `val_evaluator = dict(type='FastCocoMetric')`, in place of CocoMetric.
"""

from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCOeval
from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics import coco_metric
from mmdet.registry import METRICS

from .temporary_attribute import temporary_attribute

_TRUTH = ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd')
# Of pycocotools' settings, under the names that `hotcoco` shares.
_SETTINGS = (
    *('imgIds', 'catIds', 'iouThrs', 'recThrs', 'maxDets'),
    *('areaRng', 'areaRngLbl', 'useCats'),
)


@METRICS.register_module()
class FastCocoMetric(CocoMetric):
    """mmdet's `CocoMetric`, its boxes matched by `hotcoco`.

    That takes a second where pycocotools takes a minute or more. Numbers are the same
    (docs/decisions/0008), but for a file with an annotation id of 0, whose object
    pycocotools never counts as found. Masks are left to pycocotools.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        import hotcoco  # noqa: F401  # told now where it is missing, not after an epoch

        super().__init__(*args, **kwargs)

    def evaluate(self, size: int) -> dict[str, float]:
        with temporary_attribute(coco_metric, 'COCOeval', FastCOCOeval):
            return super().evaluate(size)


class FastCOCOeval(COCOeval):
    """pycocotools' evaluator, with boxes matched and accumulated elsewhere.

    Summarising stays here: `hotcoco` 1.3 takes AP at the largest of `maxDets`, while
    pycocotools takes it at 100, whatever they are.
    """

    def evaluate(self) -> None:
        if self.params.iouType != 'bbox':
            super().evaluate()
            return
        import hotcoco

        self.params.maxDets = sorted(self.params.maxDets)
        data = self.cocoGt.dataset
        truth = hotcoco.COCO(
            dict(
                images=[dict(id=image['id']) for image in data['images']],
                categories=data['categories'],
                annotations=[
                    {key: row[key] for key in _TRUTH if key in row}
                    for row in data['annotations']
                ],
            )
        )
        rows = [
            [row['image_id'], *row['bbox'], row['score'], row['category_id']]
            for row in self.cocoDt.dataset['annotations']
        ]
        found = truth.load_res(np.array(rows, float))
        self._matched = hotcoco.COCOeval(truth, found, 'bbox')
        for name in _SETTINGS:
            value = getattr(self.params, name)
            if name in ('imgIds', 'catIds'):
                value = np.unique(value)
            if isinstance(value, np.ndarray):
                value = value.tolist()
            setattr(self._matched.params, name, value)
        self._matched.evaluate()

    def accumulate(self, p: Any = None) -> None:
        if self.params.iouType != 'bbox':
            super().accumulate(p)
            return
        self._matched.accumulate()
        self.eval = dict(self._matched.eval)
