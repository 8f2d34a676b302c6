"""Time predicting and training of whole models, interleaved, stage by stage.

Called by `models.py`, which has the protocol.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from mmdet.models import DetectionTransformer
from mmdet.structures import DetDataSample
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import InstanceData

from mmdet_qrpaq.analysis.cost.model_cost import BatchCost
from mmdet_qrpaq.analysis.cost.timing import (
    StageClock,
    interleave,
    peak_memory,
    prediction_seams,
    summary,
    training_seams,
)
from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.runtime.building import build_untrained
from mmdet_qrpaq.runtime.configs import read_config

if TYPE_CHECKING:
    from benchmarks.speed.models import Case


def build(leaf: str, queries: int, device: str) -> DetectionTransformer:
    """Return a leaf's detector with so many queries, and patterns to go with them."""
    cfg = read_config(str(ROOT / 'configs' / f'{leaf}.py'))
    cfg.model.num_queries = queries
    if cfg.model.get('pattern_query'):
        # PaQ-DETR Sec. 4.1: 50 for 300, 150 for 900; width as in the leaves of both.
        cfg.model.pattern_query.num_patterns = max(1, queries // 6)
        cfg.model.pattern_query.hidden_dims = 64 if queries <= 300 else 8
    return revert_sync_batchnorm(build_untrained(cfg)).to(device)


def make_batch(
    case: 'Case', size: tuple[int, int], num_classes: int, device: str
) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Return images of noise, and objects of 5 to 20 % of their sides."""
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(case.batch, 3, *size, generator=rng).to(device)
    meta = dict(
        img_shape=size, ori_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0)
    )
    samples = []
    for _ in range(case.batch):
        centre = 0.1 + 0.8 * torch.rand(case.objects, 2, generator=rng)
        half = (0.05 + 0.15 * torch.rand(case.objects, 2, generator=rng)) / 2
        boxes = torch.cat((centre - half, centre + half), 1)
        labels = torch.randint(num_classes, (case.objects,), generator=rng)
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=(boxes * torch.tensor(size[::-1]).repeat(2)).to(device),
            labels=labels.to(device),
        )
        samples.append(sample)
    return inputs, samples


def predict(
    detector: DetectionTransformer, batch: tuple, clock: StageClock, amp: bool
) -> None:
    """Predict boxes from normalised images."""
    with torch.no_grad(), autocast(batch, amp):
        detector.predict(*batch, rescale=False)


def train(
    detector: DetectionTransformer, batch: tuple, clock: StageClock, amp: bool
) -> None:
    """Compute losses and gradients."""
    detector.zero_grad(set_to_none=True)
    with autocast(batch, amp):
        loss, _ = detector.parse_losses(detector.loss(*batch))
    with clock.stage('backward'):
        loss.backward()


def autocast(batch: tuple, amp: bool) -> torch.autocast:
    """Return half precision as each device has it."""
    kind = batch[0].device.type
    dtype = torch.float16 if kind == 'cuda' else torch.bfloat16
    return torch.autocast(kind, dtype=dtype, enabled=amp)


def measure(
    detectors: dict[str, DetectionTransformer],
    case: 'Case',
    size: tuple[int, int],
    repeats: int,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Time predicting and training of all models in one case, the host first."""
    host = next(iter(detectors.values()))
    device = next(host.parameters()).device.type
    batch = make_batch(case, size, host.bbox_head.num_classes, device)
    measured = dict(case._asdict())
    for mode, step, seams in (
        ('predict', predict, prediction_seams),
        ('train', train, training_seams),
    ):
        clocks = {name: StageClock(device) for name in detectors}
        stages = {name: [] for name in detectors}
        peaks = {}

        def once(name: str, step=step, clocks=clocks) -> None:
            step(detectors[name], batch, clocks[name], case.amp)

        for name, detector in detectors.items():
            detector.train(mode == 'train')
            once(name)  # what is allocated once
            detector.zero_grad(set_to_none=True)  # else they count as there before
            peaks[name] = peak_memory(lambda name=name: once(name), device)
            advance()
        for order in interleave(list(detectors), repeats):
            for name in order:
                with clocks[name].watch(seams(detectors[name])):
                    seconds = clocks[name].time(lambda name=name: once(name))
                stages[name].append(seconds)
            advance()
        for detector in detectors.values():
            detector.zero_grad(set_to_none=True)
        costs = {
            name: BatchCost(case.batch, peaks[name], stages[name]) for name in detectors
        }
        base = next(iter(costs.values())).seconds
        measured[mode] = {
            name: dict(
                cost.as_dict(),
                ratio=summary([a / b for a, b in zip(cost.seconds, base, strict=True)]),
            )
            for name, cost in costs.items()
        }
    return measured


def steps(num_models: int, repeats: int) -> int:
    """Return how often `measure` calls `advance`."""
    return 2 * (num_models + repeats)
