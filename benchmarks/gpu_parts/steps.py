"""Training steps and predictions of DINO-R50 with each method, beside upstream's DINO.

All models are in one process and take turns, in an order drawn anew in each repetition;
each is divided by upstream's DINO of its repetition. Random weights, images of noise
without padding, random objects. A training step is forward, losses, gradients, their
clipping and the optimizer's step, as mmengine does them, set up as the model's config
says; the learning rate is so low that all repetitions do the same work. 'losses' is
the matching, the losses and their gradients at the predictions alone.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from mmdet.models import DetectionTransformer
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from benchmarks.gpu_parts.counts import count_operations
from benchmarks.gpu_parts.precision import autocast, precise
from benchmarks.speed.models import Case
from benchmarks.speed.models_timing import make_batch
from mmdet_qrpaq.analysis.cost.timing import (
    interleave,
    peak_memory,
    stopwatch,
    summary,
)
from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.runtime.building import build_untrained
from mmdet_qrpaq.runtime.configs import read_config
from mmdet_qrpaq.sweeps.scale import make_small
from mmdet_qrpaq.temporary_attribute import temporary_attribute

if TYPE_CHECKING:
    from benchmarks.gpu import Plan

UPSTREAM = 'upstream'
# What is changed in each config: nothing, but for plain DINO under our classes.
OURS = dict(
    type='QRPaQDINO',
    select_first=True,
    bbox_head=dict(type='QualityAwareDINOHead'),
)
MODELS: dict[str, tuple[str, dict]] = {
    UPSTREAM: ('mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py', {}),
    'plain': ('dino_r50_12e.py', OURS),
    'P': ('ablations/paq_dino_r50_12e_p_only.py', {}),
    'Q': ('ablations/paq_dino_r50_12e_q_only.py', {}),
    'PaQ': ('paq_dino_r50_12e.py', {}),
    'QR': ('qr_dino_r50_12e.py', {}),
    'QR+PaQ': ('qrpaq_dino_r50_12e.py', {}),
}
BETWEEN = ('P', 'Q')  # plain and PaQ; left out where a step takes seconds
LEARNING_RATE = 1e-9
QUERIES = 900


class Cell(NamedTuple):
    """What is run.

    Attributes:
        mode: `'train'`, `'predict'` or `'losses'`.
        precision: One of `HALVES`.
    """

    mode: str
    precision: str
    objects: int


class Model(NamedTuple):
    """A detector and how its config trains it."""

    detector: DetectionTransformer
    optim_wrapper: ConfigDict


# The most wanted first: time may not be enough for all.
CELLS = (
    *(Cell(mode, 'fp32', 7) for mode in ('train', 'predict')),
    Cell('train', 'fp32', 100),
    *(
        Cell(mode, half, 7)
        for half in ('fp16', 'bf16')
        for mode in ('train', 'predict')
    ),
    *(Cell('train', half, 100) for half in ('fp16', 'bf16')),
    *(Cell(mode, 'tf32', 7) for mode in ('train', 'predict')),
    *(Cell('losses', 'fp32', number) for number in (7, 100)),
)
# A CPU multiplies halves no faster. A process that has trained has memory at hand that
# a prediction by itself asks the system for, so predictions come first; steps with many
# objects come last, as they take long.
CPU_CELLS = tuple(
    Cell(mode, 'fp32', objects)
    for mode, objects in (
        *(('predict', 7), ('train', 7), ('losses', 7)),
        *(('losses', 100), ('train', 100)),
    )
)
SMALL_CELLS = (
    Cell('train', 'fp32', 7),
    Cell('predict', 'bf16', 7),
    Cell('losses', 'fp32', 7),
)


def build(name: str, device: str, small: bool) -> Model:
    """Return a model with random weights; nothing is downloaded."""
    path, changes = MODELS[name]
    cfg = read_config(path if '::' in path else str(ROOT / 'configs' / path))
    cfg.merge_from_dict(dict(model=changes))
    trains = copy.deepcopy(cfg.optim_wrapper)
    trains.optimizer.lr = LEARNING_RATE
    if small:
        make_small(cfg)
        cfg.model.num_queries = 30
    else:
        assert cfg.model.num_queries == QUERIES
    detector = revert_sync_batchnorm(build_untrained(cfg)).to(device)
    return Model(detector, trains)


def optimizer(model: Model, precision: str, device: str) -> OptimWrapper:
    """Return a fresh one; with loss scaling where mmengine has it."""
    cfg = Config(dict(wrapper=copy.deepcopy(model.optim_wrapper))).wrapper
    if precision in ('fp16', 'bf16') and device == 'cuda':
        # A start from 2 ** 16 would leave out the first steps.
        cfg.update(type='AmpOptimWrapper', loss_scale=dict(init_scale=256.0))
    return build_optim_wrapper(model.detector, cfg)


def train(
    detector: DetectionTransformer, batch: tuple, precision: str, optim: OptimWrapper
) -> None:
    """Take a step, as `BaseModel.train_step` does."""
    with autocast(precision, batch[0].device.type):
        loss, _ = detector.parse_losses(detector.loss(*batch))
    optim.update_params(loss)


@torch.no_grad()
def predict(detector: DetectionTransformer, batch: tuple, precision: str) -> None:
    """Predict boxes from normalised images."""
    with autocast(precision, batch[0].device.type):
        detector.predict(*batch, rescale=False)


def prepare(
    mode: str, model: Model, batch: tuple, precision: str
) -> Callable[[], object]:
    """Return what is timed."""
    detector, device = model.detector, batch[0].device.type
    if mode == 'predict':
        return partial(predict, detector, batch, precision)
    if mode == 'train':
        optim = optimizer(model, precision, device)
        return partial(train, detector, batch, precision, optim)
    return partial(judge, detector.bbox_head, predictions_of(detector, batch))


def predictions_of(detector: DetectionTransformer, batch: tuple) -> list:
    """Return what the head hands to `loss_by_feat`, off the graph."""
    taken: list = []

    def take(*inputs) -> dict:
        taken.extend(inputs)
        return {}

    with temporary_attribute(detector.bbox_head, 'loss_by_feat', take):
        detector.loss(*batch)
    return [
        one.detach().requires_grad_() if torch.is_tensor(one) else one for one in taken
    ]


def judge(head: nn.Module, predictions: list) -> None:
    """Match, and compute losses and their gradients at the predictions."""
    losses = head.loss_by_feat(*predictions)
    sum(loss.sum() for loss in losses.values()).backward()


def measure(plan: 'Plan') -> dict:
    """Measure cell by cell, as long as there is time."""
    side, batch_size = plan.side, plan.batch
    takes_long = plan.device == 'cpu' and not plan.small
    names = [name for name in MODELS if not (takes_long and name in BETWEEN)]
    measured: dict[str, Any] = dict(
        size=[side, side],
        batch=batch_size,
        models={name: MODELS[name][0] for name in names},
        protocol=__doc__.strip(),
        cells=[],
    )
    models = {name: build(name, plan.device, plan.small) for name in names}
    for name, model in models.items():
        groups = optimizer(model, 'fp32', plan.device).optimizer.param_groups
        fused = any(group.get('fused') for group in groups)
        measured.setdefault('optimizers', {})[name] = dict(
            groups=len(groups), fused=fused
        )
    cells = CELLS if plan.device == 'cuda' else CPU_CELLS
    for cell in SMALL_CELLS if plan.small else cells:
        if plan.time_is_up:
            break
        case = Case('grid', batch_size, QUERIES, cell.objects, False)
        batch = make_batch(case, (side, side), 80, plan.device)
        measured['cells'].append(measure_cell(plan, cell, models, batch))
        plan.write(measured)
    failed = [
        f'{cell["mode"]} {cell["precision"]} {name}'
        for cell in measured['cells']
        for name, found in cell['models'].items()
        if 'error' in found
    ]
    return dict(measured, failed=failed)


def measure_cell(
    plan: 'Plan', cell: Cell, models: dict[str, Model], batch: tuple
) -> dict:
    """Measure all models in one cell; one that fails is told and left out."""
    device, repeats = plan.device, 2 if plan.small else plan.repeats
    found: dict[str, dict] = {name: {} for name in models}
    turns = {}
    with precise(cell.precision):
        for name, model in models.items():
            detector = model.detector.train(cell.mode != 'predict')
            try:
                turn = prepare(cell.mode, model, batch, cell.precision)
                turn()  # what is allocated once, and chosen by trying
                found[name]['peak_bytes'] = peak_memory(turn, device)
                found[name].update(count_operations(turn, device))
                turns[name] = turn
            except Exception as error:  # the others go on
                found[name]['error'] = f'{type(error).__name__}: {error}'[:500]
                detector.zero_grad(set_to_none=True)
        seconds: dict[str, list[float]] = {name: [] for name in turns}
        for order in interleave(list(turns), repeats):
            if plan.time_is_up:
                break
            for name in order:
                seconds[name].append(stopwatch(turns[name])[0])
    base = seconds.get(UPSTREAM)
    for name, spent in seconds.items():
        if spent:
            found[name].update(repeats=len(spent), seconds=summary(spent))
        if spent and base:
            pairs = zip(spent, base, strict=True)
            found[name]['ratio'] = summary([ours / theirs for ours, theirs in pairs])
    for model in models.values():
        model.detector.zero_grad(set_to_none=True)
    return dict(cell._asdict(), models=found)
