"""AP of a trained detector with half its attention, or some of its queries (QR Fig. 2).

Called by ``tools/analysis/query_ablation.py`` and the report. Nothing is retrained:
:mod:`.sublayers` switches attention off, :mod:`.fewer_queries` leaves queries out, and
the config's own evaluator tells the AP. A picture is encoded once, whatever is tried on
it.

The paper does not say which queries it keeps. Here they are the first k. On two-stage
hosts these are the k best proposals. One-stage hosts learn their queries in no order,
so the first k are an arbitrary choice; ``keep='used'`` takes those that the head's own
assigner matches most often on these very pictures, which flatters them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.evaluator import Evaluator
from rich.progress import track
from torch import nn
from torch.utils.data import DataLoader

from ...errors import ConfigError
from ...records.schema import COUNT, NUMBER, TEXT, fields, list_of, or_none, table_of
from ..detections.average_precision import (
    PRECISION,
    Precision,
    another,
    build_evaluator,
    evaluate,
)
from .fewer_queries import keep_queries, require_detr
from .sublayers import SETTINGS, decoder_layers, only_sublayers
from .usage import count_query_hits

KEEP = ('first', 'used')
LABELS = dict(
    self_attn='self-attention\nonly', cross_attn='cross-attention\nonly', both='both'
)
# 300 ... 50 of 300 queries, as Fig. 2b.
SHARES = (1, 5 / 6, 2 / 3, 1 / 2, 1 / 3, 1 / 6)
SCHEMA = fields(
    models=list_of(
        fields(
            name=TEXT,
            num_images=COUNT,
            num_queries=COUNT,
            two_stage={'type': 'boolean'},
            keep={'enum': list(KEEP)},
            sublayers=table_of(PRECISION),
            fewer_queries=list_of(
                fields(
                    num_queries=COUNT,
                    precision=PRECISION,
                    entered=or_none(list_of(NUMBER)),
                )
            ),
        )
    )
)


@dataclass(frozen=True)
class QueryAblation:
    """What is left of a detector's AP.

    Attributes:
        num_images: Pictures evaluated.
        num_queries: Of the whole model.
        two_stage: Whether a query's index is the rank of an encoder proposal.
        keep: Which queries are kept, ``'first'`` or ``'used'``.
        sublayers: By what is left on: ``'both'``, ``'self_attn'``, ``'cross_attn'``.
        fewer_queries: By the number of queries kept.
        entered: Of a routed model, by the number of queries kept: mean number of
            queries that enter each decoder layer's slice; empty of others.
    """

    num_images: int
    num_queries: int
    two_stage: bool
    keep: str
    sublayers: dict[str, Precision]
    fewer_queries: dict[int, Precision]
    entered: dict[int, list[float]]

    def as_dict(self) -> dict:
        """Return everything as JSON types."""
        return dict(
            num_images=self.num_images,
            num_queries=self.num_queries,
            two_stage=self.two_stage,
            keep=self.keep,
            sublayers={name: asdict(p) for name, p in self.sublayers.items()},
            fewer_queries=[
                dict(num_queries=k, precision=asdict(p), entered=self.entered.get(k))
                for k, p in self.fewer_queries.items()
            ],
        )


def collect_numbers(ablations: dict[str, QueryAblation]) -> dict:
    """Return what `SCHEMA` describes, of models by name."""
    return dict(models=[dict(name=n, **a.as_dict()) for n, a in ablations.items()])


def measure(
    detector: nn.Module,
    dataloader: DataLoader,
    evaluator: dict | list | None,
    *,
    counts: Sequence[int] | None = None,
    keep: str = 'first',
) -> QueryAblation:
    """Evaluate a detector with both attentions, with one, and with fewer queries.

    Args:
        detector: In eval mode; unchanged afterwards.
        evaluator: The config's ``val_evaluator`` or ``test_evaluator``.
        counts: Numbers of queries to keep; None are 1, 5/6, 2/3, 1/2, 1/3 and 1/6 of
            them.
        keep: ``'first'`` or ``'used'``.

    Raises:
        ConfigError: The detector is no DETR, a count is none of its queries, or the
            evaluator gives no AP of boxes.
    """
    require_detr(detector)
    decoder_layers(detector)
    whole = build_evaluator(evaluator, dataloader)
    # DAB-DETR may repeat each of its anchors.
    total = detector.num_queries * max(1, getattr(detector, 'num_patterns', 0))
    counts = sorted(set(counts or [max(1, round(s * total)) for s in SHARES]))[::-1]
    if counts[0] > total or counts[-1] < 1:
        wrong = counts[0] if counts[0] > total else counts[-1]
        raise ConfigError(
            f'{wrong} queries cannot be kept: the model has {total}; give numbers '
            f'from 1 to {total}.'
        )
    order = np.arange(total)
    if keep == 'used':
        hits = count_query_hits(detector, dataloader).hits
        order = np.argsort(-hits, kind='stable')
    settings = [(kept, total) for kept in SETTINGS]
    settings += [('both', count) for count in counts if count != total]
    evaluators = {setting: another(whole) for setting in settings}
    entered = _predict(detector, dataloader, evaluators, order)
    precision = {
        setting: evaluate(evaluators[setting], len(dataloader.dataset))
        for setting in track(settings, 'evaluating')
    }
    return QueryAblation(
        num_images=len(dataloader.dataset),
        num_queries=total,
        two_stage=bool(getattr(detector, 'as_two_stage', False)),
        keep=keep,
        sublayers={kept: precision[kept, total] for kept in SETTINGS},
        fewer_queries={count: precision['both', count] for count in counts},
        entered={c: entered['both', c] for c in counts if entered['both', c]},
    )


@torch.no_grad()
def _predict(
    detector: nn.Module,
    dataloader: DataLoader,
    evaluators: dict[tuple[str, int], Evaluator],
    order: np.ndarray,
) -> dict[tuple[str, int], list[float]]:
    """Show each setting's predictions to its evaluator; count who enters the layers."""
    entering = defaultdict(list)
    routed = getattr(detector, 'routed_layers', [])
    for raw in track(dataloader, 'predicting'):
        batch = detector.data_preprocessor(raw, False)
        with _encoded_once(detector):
            for (kept, count), evaluator in evaluators.items():
                with (
                    only_sublayers(detector, kept),
                    keep_queries(detector, np.sort(order[:count])),
                    _count_entering(routed, entering[kept, count]),
                ):
                    samples = detector(**batch, mode='predict')
                evaluator.process(samples, raw)
    images, layers = max(1, len(dataloader.dataset)), len(routed)
    return {
        setting: [float(sum(rows[i::layers])) / images for i in range(layers)]
        for setting, rows in entering.items()
    }


@contextmanager
def _encoded_once(detector: nn.Module) -> Iterator[None]:
    """Keep what backbone and encoder make of a batch: nearly all the work."""
    backbone = detector.backbone
    backbone.forward = _once(backbone.forward)
    detector.forward_encoder = _once(detector.forward_encoder)
    try:
        yield
    finally:
        del backbone.forward, detector.forward_encoder


def _once(function: Callable) -> Callable:
    """Return a function that runs on its first call and then repeats the answer."""
    answers = []

    def answer(*args, **kwargs):
        if not answers:
            answers.append(function(*args, **kwargs))
        return answers[0]

    return answer


@contextmanager
def _count_entering(routed: list[nn.Module], counts: list) -> Iterator[None]:
    """Append how many queries of a batch enter each routed layer."""
    handles = [
        layer.register_forward_hook(lambda m, *_: counts.append(m.trace.enter.sum()))
        for layer in routed
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def draw(ablations: dict[str, QueryAblation]) -> Figure:
    """Draw AP by sub-layers (Fig. 2a) beside AP by number of queries kept (Fig. 2b).

    Args:
        ablations: Models by the name for the legend, in drawing order.
    """
    figure = Figure(figsize=(9.4, 3.7), layout='constrained')
    bars, curves = figure.subplots(1, 2, width_ratios=[1, 1.25])
    places = np.arange(len(LABELS))
    width = 0.8 / len(ablations)
    for number, (name, ablation) in enumerate(ablations.items()):
        style = dict(color=f'C{number}', label=name)
        values = [100 * ablation.sublayers[kept].ap for kept in LABELS]
        shift = (number - (len(ablations) - 1) / 2) * width
        drawn = bars.bar(places + shift, values, 0.92 * width, **style)
        bars.bar_label(drawn, fmt='%.1f', fontsize=7, padding=1)
        kept = list(ablation.fewer_queries)
        rows = ablation.fewer_queries.values()
        curves.plot(kept, [100 * row.ap for row in rows], 'o-', **style)
        style['label'] = None
        curves.plot(kept, [100 * row.ap50 for row in rows], '.:', **style)
    bars.set_xticks(places, LABELS.values())
    bars.set(ylabel='AP (%)', title='attention left on in the decoder')
    curves.set(xlabel=_kept_queries(ablations.values()), ylabel='AP, dotted AP50 (%)')
    curves.set_title('queries left, both attentions')
    curves.set_ylim(bottom=0)
    for axes in (bars, curves):
        axes.margins(y=0.08)
        axes.spines[['top', 'right']].set_visible(False)
    curves.legend(frameon=False, fontsize=8, loc='lower right')
    images = sorted({ablation.num_images for ablation in ablations.values()})
    figure.suptitle(
        f'trained models, not retrained; {" or ".join(map(str, images))} pictures',
        fontsize=9,
    )
    return figure


def _kept_queries(ablations: Iterable[QueryAblation]) -> str:
    """Tell which queries are kept."""
    ablations = list(ablations)
    if ablations[0].keep == 'used':
        return 'queries kept: those matched most often'
    staged = {ablation.two_stage for ablation in ablations}
    which = {True: 'best proposals', False: 'first learned ones'}
    return f'queries kept: {" or ".join(which[two_stage] for two_stage in staged)}'
