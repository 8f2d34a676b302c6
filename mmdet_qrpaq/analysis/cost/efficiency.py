"""What detectors cost on real images: parameters, FLOPs, memory, time, in ratios.

QR-DETR Table 3 and PaQ-DETR Table 7 are the tables it mirrors. Protocol:

- All models see the same images, through the pipeline of the first one's config, and
  are compared with the first one.
- FLOPs are counted image by image as `complexity` tells, so that routing counts with
  the queries that do enter, where that is what the device runs.
- Time is that of `test_step`: a batch of loaded images in, boxes in pixels out. Each
  repetition takes the next batch and runs all models on it, in an order drawn anew; a
  ratio is that of two times of one repetition. The first ones warm up.
- Memory is what a prediction takes beside the weights, the most of all batches.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from mmdet.models import DetectionTransformer
from mmengine.dataset import pseudo_collate
from rich.progress import track

from ...errors import ConfigError
from ...records.provenance import device_name
from ...records.schema import COUNT, NUMBER, TEXT, fields, list_of, or_none, table_of
from ...records.tables import Table
from ..one_pass import spread
from ..trained_detector import TrainedModel
from .complexity import Complexity, complexity_of
from .efficiency_figure import draw
from .model_cost import BatchCost, describe, ratios
from .timing import (
    MEMORY_CONVENTION,
    StageClock,
    interleave,
    peak_memory,
    prediction_seams,
)

WARM_UP = 2
QUARTILES = fields(median=NUMBER, quartiles=list_of(NUMBER))
MEAN = fields(mean=NUMBER, std=NUMBER)
SCHEMA = fields(
    protocol=fields(
        device=TEXT,
        hardware=TEXT,
        threads=COUNT,
        dtype=TEXT,
        pictures=list_of(fields(name=TEXT, height=COUNT, width=COUNT)),
        warm_up=COUNT,
        repeats=COUNT,
        memory=TEXT,
    ),
    models=list_of(
        fields(
            name=TEXT,
            detector=TEXT,
            params=COUNT,
            training_params=COUNT,
            flops=MEAN,
            flops_by_stage=table_of(MEAN),
            flops_by_picture=list_of(COUNT),
            weight_bytes=COUNT,
            batches=list_of(
                fields(
                    batch_size=COUNT,
                    peak_bytes=COUNT,
                    p50=NUMBER,
                    p95=NUMBER,
                    stages=table_of(NUMBER),
                    seconds=list_of(NUMBER),
                )
            ),
            ratios=fields(
                params=NUMBER,
                flops=NUMBER,
                batches=list_of(fields(peak_bytes=or_none(NUMBER), seconds=QUARTILES)),
            ),
        )
    ),
)


@torch.no_grad()
def measure(
    models: Sequence[TrainedModel],
    num_images: int,
    batch_sizes: Sequence[int],
    repeats: int,
) -> tuple[dict, Figure]:
    """Measure detectors on images spread evenly over the data set of the first.

    Args:
        models: All on one device. The first is compared with.
        num_images: At least 1; fewer are taken if there are fewer.
        batch_sizes: Images in a batch; taken again where there are too few.
        repeats: Timed batches of each size, at least 2.

    Returns:
        What `SCHEMA` describes, and the figure.

    Raises:
        ConfigError: A detector is no DETR, or there is no image.
    """
    for model in models:
        if not isinstance(model.detector, DetectionTransformer):
            raise ConfigError(
                f'{model.name} is a {type(model.detector).__name__}, which is no DETR '
                'of mmdet, so that its stages are unknown; give the config of a DETR.'
            )
    dataset = models[0].dataloader.dataset
    images = [dataset[index] for index in spread(num_images, len(dataset))]
    device = next(models[0].detector.parameters()).device
    counted = [_count(model, images) for model in models]
    timed = [_time(models, images, size, repeats, device) for size in batch_sizes]
    costs = [
        describe(model.name, model.detector, counts, batches)
        for model, counts, *batches in zip(models, counted, *timed, strict=True)
    ]
    numbers = dict(
        protocol=dict(
            device=device.type,
            hardware=device_name(device.type),
            threads=torch.get_num_threads(),
            dtype=str(torch.get_default_dtype()).removeprefix('torch.'),
            pictures=[_describe(image) for image in images],
            warm_up=WARM_UP,
            repeats=repeats,
            memory=MEMORY_CONVENTION[device.type],
        ),
        models=[dict(cost, ratios=ratios(cost, costs[0])) for cost in costs],
    )
    return numbers, draw(numbers)


def _describe(image: dict) -> dict[str, Any]:
    """Return name and size, as the network sees it, of one item of a data set."""
    meta = image['data_samples'].metainfo
    height, width = meta['img_shape'][:2]
    name = str(meta.get('img_path') or meta.get('img_id')).rpartition('/')[2]
    return dict(name=name, height=height, width=width)


def _count(model: TrainedModel, images: Sequence[dict]) -> list[Complexity]:
    """Return parameters and FLOPs of each image; on the CPU, where all is counted."""
    batches = [pseudo_collate([image]) for image in images]
    detector = model.detector
    device = next(detector.parameters()).device
    detector.cpu()
    try:
        with routing_as_on(device, detector):
            return [
                complexity_of(detector, partial(detector.test_step, batch))
                for batch in track(batches, f'counting FLOPs of {model.name}')
            ]
    finally:
        detector.to(device)


@contextmanager
def routing_as_on(
    device: torch.device, detector: DetectionTransformer
) -> Iterator[None]:
    """Let a detector run the executor that it takes by itself on another device."""
    routed = getattr(detector, 'routed_layers', ())
    if not routed:
        yield
        return
    settings = routed[0].settings
    dense = settings.runs_dense(device)
    detector.change_routing(executor='dense' if dense else 'gather')
    try:
        yield
    finally:
        detector.change_routing(executor=settings.executor)


def _time(
    models: Sequence[TrainedModel],
    images: Sequence[dict],
    size: int,
    repeats: int,
    device: torch.device,
) -> list[BatchCost]:
    """Return memory and time of each model with batches of one size, interleaved."""
    count = len(images)
    # Each image leads once.
    batches = [
        pseudo_collate([images[(first + offset) % count] for offset in range(size)])
        for first in range(count)
    ]
    detectors = [model.detector for model in models]
    clocks = [StageClock(device) for _ in models]
    seconds = [[] for _ in models]
    orders = interleave(range(len(models)), WARM_UP + repeats)
    title = f'taking times, batch {size}'
    for repeat, order in enumerate(track(orders, title, total=WARM_UP + repeats)):
        for place in order:
            detector, clock = detectors[place], clocks[place]
            run = partial(detector.test_step, batches[repeat % count])
            with clock.watch(prediction_seams(detector)):
                stages = clock.time(run)
            if repeat >= WARM_UP:
                seconds[place].append(stages)
    # Everything is allocated anew for each batch; the largest one counts.
    peaks = [
        max(peak_memory(partial(detector.test_step, b), device) for b in batches)
        for detector in track(detectors, f'taking memory, batch {size}')
    ]
    return [BatchCost(size, *pair) for pair in zip(peaks, seconds, strict=True)]


def tables(numbers: dict) -> list[Table]:
    """Return costs, a row a model and batch size, with ratios to the first model."""
    rows = []
    for model in numbers['models']:
        flops, over = model['flops'], model['ratios']
        for batch, ratio in zip(model['batches'], over['batches'], strict=True):
            times, memory = ratio['seconds'], ratio['peak_bytes']
            low, high = times['quartiles']
            rows.append(
                [
                    model['name'],
                    f'{model["params"] / 1e6:.2f} ({over["params"]:.3f})',
                    f'{flops["mean"] / 1e9:.4g} ± {flops["std"] / 1e9:.2g} '
                    f'({over["flops"]:.3f})',
                    str(batch['batch_size']),
                    f'{batch["peak_bytes"] / 1e6:.1f}'
                    + ('' if memory is None else f' ({memory:.3f})'),
                    f'{1000 * batch["p50"]:.4g}',
                    f'{1000 * batch["p95"]:.4g}',
                    f'{times["median"]:.3f} ({low:.3f}–{high:.3f})',
                ]
            )
    protocol = numbers['protocol']
    caption = (
        f'In brackets: times the first model. {protocol["hardware"]}, '
        f'{protocol["device"]}, {protocol["threads"]} threads, {protocol["dtype"]}, '
        f'{len(protocol["pictures"])} images, {protocol["repeats"]} repetitions'
    )
    columns = (
        'model',
        'parameters, M',
        'GFLOPs',
        'batch',
        'memory, MB',
        'p50, ms',
        'p95, ms',
        'time, ratio (quartiles)',
    )
    notes = (
        'FLOPs: 2 for each multiply-accumulate, mean and standard deviation over the '
        'images; papers often print half of it, MACs, under that name.',
    )
    return [Table(caption, columns, rows, notes=notes)]
