"""What detectors cost on real pictures: parameters, FLOPs, memory, time, in ratios.

Called by ``tools/analysis/efficiency.py``; QR-DETR Table 3 and PaQ-DETR Table 7 are the
tables it mirrors. Protocol:

- All models see the same pictures, through the pipeline of the first one's config, and
  are compared with the first one.
- FLOPs are counted picture by picture as :mod:`.complexity` tells, so that routing
  counts with the queries that do enter.
- Time is that of ``test_step``: a batch of loaded pictures in, boxes in pixels out.
  Each repetition takes the next batch and runs all models on it, in an order drawn
  anew; a ratio is that of two times of one repetition. The first ones warm up.
- Memory is what a prediction takes beside the weights, the most of all batches.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmdet.models import DetectionTransformer
from mmengine.dataset import pseudo_collate
from torch import nn
from torch.utils.data import Dataset

from ...errors import ConfigError, check_number
from .complexity import Complexity, measure
from .efficiency_result import BatchCost, Efficiency, ModelCost
from .timing import (
    MEMORY_CONVENTION,
    StageClock,
    interleave,
    peak_memory,
    prediction_seams,
)

WARM_UP = 2


def steps(
    num_models: int, num_pictures: int, num_batch_sizes: int, repeats: int
) -> int:
    """How often `measure_efficiency` calls ``advance``."""
    timed = num_batch_sizes * (num_models + WARM_UP + repeats)
    return num_models * num_pictures + timed


@torch.no_grad()
def measure_efficiency(
    detectors: Mapping[str, nn.Module],
    dataset: Dataset,
    *,
    num_pictures: int = 8,
    batch_sizes: Sequence[int] = (1,),
    repeats: int = 20,
    hardware: str = 'unknown',
    advance: Callable[[], object] = lambda: None,
) -> Efficiency:
    """Measure detectors on pictures spread evenly over a data set.

    Args:
        detectors: By name, in eval mode, all on one device. The first is compared with.
        dataset: Gives pictures as a test pipeline packs them.
        num_pictures: At least 1; fewer are taken if there are fewer.
        batch_sizes: Pictures in a batch; taken again where there are too few.
        repeats: Timed batches of each size, at least 2.
        hardware: What the numbers were measured on, for the record.
        advance: Called after each of `steps`.

    Raises:
        ConfigError: A detector is no DETR, an option cannot work, or there is no
            picture.
    """
    for name, value, low in (
        ('--num-pictures', num_pictures, 1),
        ('--repeats', repeats, 2),
        *(('--batch-sizes', size, 1) for size in batch_sizes),
    ):
        check_number(name, value, low, whole=True, hint=f'at least {low}')
    for name, detector in detectors.items():
        if not isinstance(detector, DetectionTransformer):
            raise ConfigError(
                f'{name} is a {type(detector).__name__}, which is no DETR of mmdet, '
                'so that its stages are unknown; give the config of a DETR.'
            )
    num_pictures = min(num_pictures, len(dataset))
    if num_pictures < 1:
        raise ConfigError('efficiency needs at least one picture; mend the ann_file.')
    chosen = np.linspace(0, len(dataset) - 1, num_pictures).round().astype(int)
    pictures = [dataset[int(index)] for index in chosen]
    device = next(next(iter(detectors.values())).parameters()).device

    counted = {
        name: _count(detector, pictures, advance)
        for name, detector in detectors.items()
    }
    batches = {name: [] for name in detectors}
    for size in batch_sizes:
        timed = _time(detectors, pictures, size, repeats, device, advance)
        for name, cost in timed.items():
            batches[name].append(cost)
    return Efficiency(
        protocol=dict(
            device=device.type,
            hardware=hardware,
            threads=torch.get_num_threads(),
            dtype=str(torch.get_default_dtype()).removeprefix('torch.'),
            pictures=[_describe(picture) for picture in pictures],
            warm_up=WARM_UP,
            repeats=repeats,
            memory=MEMORY_CONVENTION[device.type],
        ),
        models=[
            ModelCost(
                name,
                type(detector).__name__,
                counted[name],
                sum(
                    tensor.nbytes
                    for tensor in (*detector.parameters(), *detector.buffers())
                ),
                batches[name],
            )
            for name, detector in detectors.items()
        ],
    )


def _describe(picture: dict) -> dict[str, Any]:
    """Name and size, as the network sees it, of one item of a data set."""
    meta = picture['data_samples'].metainfo
    height, width = meta['img_shape'][:2]
    name = str(meta.get('img_path') or meta.get('img_id')).rpartition('/')[2]
    return dict(name=name, height=height, width=width)


def _count(
    detector: nn.Module, pictures: Sequence[dict], advance: Callable[[], object]
) -> list[Complexity]:
    """Parameters and FLOPs of each picture, on the CPU, where all is counted."""
    device = next(detector.parameters()).device
    detector.cpu()
    counted = []
    for picture in pictures:
        batch = pseudo_collate([picture])
        counted.append(measure(detector, partial(detector.test_step, batch)))
        advance()
    detector.to(device)
    return counted


def _time(
    detectors: Mapping[str, nn.Module],
    pictures: Sequence[dict],
    size: int,
    repeats: int,
    device: torch.device,
    advance: Callable[[], object],
) -> dict[str, BatchCost]:
    """Memory and time of all models with batches of one size, interleaved."""
    count = len(pictures)
    # Each picture leads once.
    batches = [
        pseudo_collate([pictures[(first + offset) % count] for offset in range(size)])
        for first in range(count)
    ]
    clocks = {name: StageClock(device) for name in detectors}
    seconds = {name: [] for name in detectors}
    for repeat, order in enumerate(interleave(list(detectors), WARM_UP + repeats)):
        batch = batches[repeat % count]
        for name in order:
            detector, clock = detectors[name], clocks[name]
            with clock.watch(prediction_seams(detector)):
                stages = clock.time(partial(detector.test_step, batch))
            if repeat >= WARM_UP:
                seconds[name].append(stages)
        advance()
    peaks = {}
    for name, detector in detectors.items():
        # Everything is allocated anew for each batch; the largest one counts.
        runs = [partial(detector.test_step, batch) for batch in batches]
        peaks[name] = max(peak_memory(run, device) for run in runs)
        advance()
    return {name: BatchCost(size, peaks[name], seconds[name]) for name in detectors}
