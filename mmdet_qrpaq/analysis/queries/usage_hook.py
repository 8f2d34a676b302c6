"""Query use in the log of a run: Gini at each validation, and how many patterns mix.

A config asks for it with `custom_hooks = [dict(type='QueryUsageHook')]`.
"""

from contextlib import ExitStack
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmdet.structures import SampleList
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from ...errors import check_number
from ..listening import bare_model, listening
from ..matching import require_matching
from ..one_pass import SeenBatch
from ..patterns.capture import effective_patterns
from ..trained_detector import boxes_follow_resize
from .usage import UsageObserver


@HOOKS.register_module()
class QueryUsageHook(Hook):
    """Logs how evenly any DETR uses its queries (PaQ-DETR Fig. 1, Table 6).

    After a validation or test, over all processes: `queries/gini` and
    `queries/gini_confident` (see `usage`; left out without a hit),
    `queries/unused` (queries never matched) and, with patterns,
    `queries/effective_patterns` (exp of the entropy of W^D's rows, mean over queries
    and images). It reads what the detector says anyhow: no second forward.

    Args:
        score_threshold: Least probability of a confident hit.
        iou_threshold: Least IoU of a correct hit.

    Raises:
        ConfigError: If a threshold is outside [0, 1], or, when a validation starts, if
            the model is no DETR with an assigner, does not keep its queries in order,
            or the data has no ground truth.
    """

    priority = 'NORMAL'  # before LoggerHook, which prints what it finds

    def __init__(
        self, score_threshold: float = 0.3, iou_threshold: float = 0.5
    ) -> None:
        thresholds = dict(score_threshold=score_threshold, iou_threshold=iou_threshold)
        for name, value in thresholds.items():
            check_number(f'QueryUsageHook.{name}', value, 0, 1, hint='a share')
        self.thresholds = thresholds
        self._listening = ExitStack()

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Start to listen to the head."""
        if mode == 'train':
            return
        dataset = getattr(runner, f'{mode}_dataloader').dataset
        model = bare_model(runner)
        require_matching(model, 'a QueryUsageHook in custom_hooks')
        boxes_follow_resize(dataset)
        self._model, self._dataset = model, dataset
        self._observer = UsageObserver(**self.thresholds)
        self._effective: Tensor | int = 0
        # An interrupted validation has left its forward hooks; remove them first.
        self._listening.close()
        self._heard = self._listening.enter_context(listening(model))

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: SampleList | None = None,
        mode: str = 'train',
    ) -> None:
        """Match a batch's queries with its objects."""
        if mode == 'train':
            return
        seen = SeenBatch(outputs, self._heard, self._model, self._dataset)
        self._observer.see(seen)
        if self._heard.weights is not None:
            effective = effective_patterns(self._heard.weights)
            sums = [effective.sum(), effective.new_tensor(effective.numel())]
            self._effective = self._effective + torch.stack(sums)

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Log what was counted."""
        if mode == 'train':
            return
        self._listening.close()
        if not self._observer.num_images:
            return  # the evaluator says so
        numbers = self._observer.numbers(reduce=True)
        found = dict(
            gini=numbers['gini'],
            gini_confident=numbers['gini_confident'],
            unused=float(numbers['unused_queries']),  # whole ones log as null
        )
        if isinstance(self._effective, Tensor):
            all_reduce(self._effective)
            total, count = self._effective.tolist()
            found['effective_patterns'] = total / count
        for name, value in found.items():
            if value is not None:
                runner.message_hub.update_scalar(f'{mode}/queries/{name}', value)
