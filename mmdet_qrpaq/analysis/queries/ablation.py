"""AP of a trained detector with half its attention, or some of its queries (QR Fig. 2).

Nothing is retrained: `sublayers` switches attention off, `fewer_queries` leaves queries
out, `capacity` lets fewer enter the layers of a model that routes, and the config's own
evaluator tells the AP. An image is encoded once, whatever is tried on it.

The paper does not say which queries it keeps. Here they are the first k. On two-stage
hosts these are the k best proposals. One-stage hosts learn their queries in no order,
so the first k are an arbitrary choice; `keep='used'` takes those that the head's own
assigner matches most often on these very images, which flatters them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor, nn

from ...errors import ConfigError
from ...records.schema import (
    COUNT,
    NUMBER,
    TEXT,
    YES_NO,
    fields,
    list_of,
    or_none,
    table_of,
)
from ...records.tables import Table, percent
from ..detections.average_precision import (
    PRECISION,
    build_evaluator,
    copy_evaluator,
    evaluate,
)
from ..listening import listening
from ..one_pass import SeenBatch, one_pass
from ..trained_detector import TrainedModel
from . import usage
from .ablation_figure import draw
from .fewer_queries import keep_queries, require_detr
from .section import KEEP
from .sublayers import SETTINGS, decoder_layers, only_sublayers

# 300 ... 50 of 300 queries, as Fig. 2b.
SHARES = (1, 5 / 6, 2 / 3, 1 / 2, 1 / 3, 1 / 6)
# `two_stage`: whether a query's index is the rank of an encoder proposal. `sublayers`:
# by what is left on. `entered`: of a routed model, mean number of queries that enter
# each routed layer. `capacity`: of a routed model, with so many at most.
SCHEMA = fields(
    models=list_of(
        fields(
            name=TEXT,
            num_images=COUNT,
            num_queries=COUNT,
            two_stage=YES_NO,
            keep={'enum': list(KEEP)},
            sublayers=table_of(PRECISION),
            fewer_queries=list_of(
                fields(
                    num_queries=COUNT,
                    precision=PRECISION,
                    entered=or_none(list_of(NUMBER)),
                )
            ),
            capacity=or_none(
                list_of(
                    fields(capacity=COUNT, precision=PRECISION, entered=list_of(NUMBER))
                )
            ),
        )
    )
)


class Setting(NamedTuple):
    """What is tried: attention that is left on, queries kept, and a capacity."""

    kept: str
    queries: int
    capacity: int | None = None


class AblationObserver:
    """Decodes each batch anew with one attention, and with fewer queries.

    Args:
        model: Its detector is unchanged afterwards.
        counts: Numbers of queries to keep, all of them or fewer.
        order: Queries, those first that are kept the longest, (num_queries,).
        keep: What the order is.

    Raises:
        ConfigError: The layers of the decoder have not both attentions, or the
            evaluator does not fit.
    """

    images = None

    def __init__(
        self, model: TrainedModel, counts: Sequence[int], order: np.ndarray, keep: str
    ) -> None:
        decoder_layers(model.detector)
        self._model, self._keep = model, keep
        self.order, self._counts = order, counts
        self._whole = Setting('both', len(order))
        fewer = [count for count in counts if count != len(order)]
        settings = [Setting(kept, len(order)) for kept in SETTINGS]
        settings += [Setting('both', count) for count in fewer]
        self._routes = bool(getattr(model.detector, 'routed_layers', ()))
        if self._routes:
            settings += [self._whole._replace(capacity=count) for count in counts]
        whole = build_evaluator(model)
        self._evaluators = {setting: copy_evaluator(whole) for setting in settings}
        self._entered: dict[Setting, Tensor] = {}
        self._num_images = 0

    def see(self, batch: SeenBatch) -> None:
        """Show the predictions of each setting to its evaluator; count who enters."""
        for setting, evaluator in self._evaluators.items():
            samples, heard = batch.samples, batch.heard
            if setting != self._whole:
                some = np.sort(self.order[: setting.queries])
                with (
                    only_sublayers(batch.detector, setting.kept),
                    keep_queries(batch.detector, some),
                    limiting(batch.detector, setting.capacity),
                    listening(batch.detector) as heard,
                ):
                    samples = batch.again()
            evaluator.process(samples, batch.raw)
            if heard.entered:
                entered = torch.stack([enter.sum() for enter in heard.entered])
                self._entered[setting] = self._entered.get(setting, 0) + entered
        self._num_images += len(batch.samples)

    def numbers(self) -> dict:
        """Return the model's entry in what `SCHEMA` describes.

        Raises:
            ConfigError: There are no objects, or there is no AP of boxes.
        """
        total, num_images = len(self.order), self._num_images
        precision = {
            setting: evaluate(evaluator, num_images)
            for setting, evaluator in track(self._evaluators.items(), 'evaluating')
        }
        entered = {
            setting: (number.double() / num_images).tolist()
            for setting, number in self._entered.items()
        }
        rows, limited = [], []
        for count in self._counts:
            fewer = Setting('both', count)
            row = dict(precision=precision[fewer], entered=entered.get(fewer))
            rows.append(dict(num_queries=count, **row))
            if self._routes:
                some = self._whole._replace(capacity=count)
                row = dict(precision=precision[some], entered=entered[some])
                limited.append(dict(capacity=count, **row))
        model = self._model
        return dict(
            name=model.name,
            num_images=num_images,
            num_queries=total,
            two_stage=bool(getattr(model.detector, 'as_two_stage', False)),
            keep=self._keep,
            sublayers={kept: precision[Setting(kept, total)] for kept in SETTINGS},
            fewer_queries=rows,
            capacity=limited or None,
        )


@contextmanager
def limiting(detector: nn.Module, capacity: int | None) -> Iterator[None]:
    """Let so many queries at most enter each routed layer while inside; None: as is."""
    layers = detector.routed_layers if capacity is not None else ()
    before = [layer.settings for layer in layers]
    if layers:
        detector.change_routing(capacity=capacity)
    try:
        yield
    finally:
        for layer, settings in zip(layers, before, strict=True):
            layer.settings = settings


def observe(
    models: Sequence[TrainedModel], queries: Sequence[int] | None, keep: str
) -> list[AblationObserver]:
    """Return observers that try each setting; 'used' takes a run of its own before.

    Args:
        queries: Numbers of them to keep; None are 1, 5/6, 2/3, 1/2, 1/3 and 1/6 of all.
        keep: `'first'` or `'used'`.

    Raises:
        ConfigError: A detector is no DETR, a number is none of its queries, or an
            evaluator does not fit.
    """
    return [_observe(model, queries, keep) for model in models]


def _observe(
    model: TrainedModel, queries: Sequence[int] | None, keep: str
) -> AblationObserver:
    require_detr(model.detector)
    # DAB-DETR may repeat each of its anchors.
    repeats = max(1, getattr(model.detector, 'num_patterns', 0))
    total = model.detector.num_queries * repeats
    counts = set(queries or [max(1, round(s * total)) for s in SHARES])
    for count in counts:
        if not 1 <= count <= total:
            raise ConfigError(
                f'{count} queries cannot be kept: the model has {total}; give numbers '
                f'from 1 to {total}.'
            )
    observer = AblationObserver(model, sorted(counts)[::-1], np.arange(total), keep)
    if keep == 'used':
        (hits,) = usage.observe([model], score_threshold=0, iou_threshold=0)
        one_pass(model, [hits])
        order = np.argsort(-np.array(hits.numbers()['hits']), kind='stable')
        observer.order = order
    return observer


def conclude(
    models: Sequence[TrainedModel], observers: Sequence[AblationObserver]
) -> tuple[dict, Figure]:
    """Return what `SCHEMA` describes, and the figure.

    Raises:
        ConfigError: There are no objects, or there is no AP of boxes.
    """
    numbers = dict(models=[observer.numbers() for observer in observers])
    return numbers, draw(numbers)


def tables(numbers: dict) -> list[Table]:
    """Tabulate AP, a row a model and setting."""
    rows = []
    for model in numbers['models']:
        total = model['num_queries']
        settings = [(kept, total, '-', ap) for kept, ap in model['sublayers'].items()]
        for row in model['fewer_queries']:
            if row['num_queries'] != total:
                settings.append(('both', row['num_queries'], '-', row['precision']))
        for row in model['capacity'] or ():
            settings.append(('both', total, row['capacity'], row['precision']))
        for kept, count, capacity, precision in settings:
            values = (percent(precision[key]) for key in ('ap', 'ap50', 'ap75'))
            rows.append([model['name'], kept, str(count), str(capacity), *values])
    columns = ('model', 'attention', 'queries', 'capacity')
    columns += ('AP, %', 'AP50, %', 'AP75, %')
    return [Table('AP of trained models, not retrained', columns, rows, words=(0, 1))]
