"""Time and memory of a detector, whole and by stage, on CPU and CUDA.

A stage is a seam of mmdet's DETRs, i.e. a method; the box branches that a decoder calls
belong to the decoder here. Why not `torch.utils.benchmark.Timer`:
docs/decisions/0005-one-house.md.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import timer

from ...temporary_attribute import temporary_attribute

# Time that belongs to no stage that is watched: masks, positions, flattening.
REST = 'rest'
STAGES = (
    'preprocessing',
    'backbone',
    'neck',
    'encoder',
    'query selection',
    'patterns',
    'decoder',
    'head',
    REST,
    'matching',
    'losses',
    'backward',
)
MEMORY_CONVENTION = dict(
    cuda="most memory of torch's allocator at a time, above what it held before",
    cpu='most bytes of tensors alive at a time, above what there was before, as '
    "torch's allocator reports them to its profiler; without what a kernel takes past "
    'that allocator',
)
Turn = TypeVar('Turn')


class Seam(NamedTuple):
    """A method whose time is a stage's."""

    owner: object
    method: str
    stage: str


def prediction_seams(detector: nn.Module) -> list[Seam]:
    """Return the stages of a prediction of any DETR of mmdet, see `STAGES`."""
    seams = [
        Seam(detector.data_preprocessor, 'forward', 'preprocessing'),
        Seam(detector.backbone, 'forward', 'backbone'),
        Seam(detector, 'forward_encoder', 'encoder'),
        Seam(detector, 'pre_decoder', 'query selection'),
        Seam(detector, 'forward_decoder', 'decoder'),
        Seam(detector.bbox_head, 'predict', 'head'),
    ]
    for name, stage in (('neck', 'neck'), ('pattern_query_generator', 'patterns')):
        part = getattr(detector, name, None)
        if part is not None:
            seams.append(Seam(part, 'forward', stage))
    return seams


def training_seams(detector: nn.Module) -> list[Seam]:
    """Return the stages of `DetectionTransformer.loss`, see `STAGES`.

    Matching is one-to-one of all layers and, with it, the one-to-many assigner's.
    """
    head = detector.bbox_head
    seams = [seam for seam in prediction_seams(detector) if seam.method != 'predict']
    seams += [Seam(head, 'loss', 'losses'), Seam(head, 'forward', 'head')]
    heads = [head]
    if (exits := getattr(detector, 'exit_heads', None)) is not None:
        heads.append(exits.heads[0])  # whose assigner serves all
        seams += [
            Seam(exits, 'forward', 'head'),
            Seam(detector, 'exit_losses', 'losses'),
        ]
    for part in heads:
        if getattr(part, 'batches_losses', False):
            seams.append(Seam(part, 'match', 'matching'))
        else:
            seams.append(Seam(part.assigner, 'assign', 'matching'))
        if (many := getattr(part, 'quality_assigner', None)) is not None:
            seams.append(Seam(many, 'assign_batch', 'matching'))
    return seams


class StageClock:
    """Splits the time of a call into stages; every moment belongs to one of them.

    Inside a stage that calls another, time is the inner one's. On CUDA events are
    recorded in the stream, so nothing waits but the end of the call.

    Args:
        device: Where the work is done.

    Attributes:
        mark: Gives a point in time.
        elapsed: Gives the seconds between two of them.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.mark: Callable[[], Any] = time.perf_counter
        self.elapsed = lambda start, end: end - start
        self.synchronise = lambda: None
        if torch.device(device).type == 'cuda':
            self.mark = _record_event
            self.elapsed = lambda start, end: start.elapsed_time(end) / 1000
            self.synchronise = torch.cuda.synchronize
        self._running = [REST]
        self._marks: list[tuple[Any, str]] = []

    def _switch(self) -> None:
        """Give time, from now on, to the innermost running stage."""
        self._marks.append((self.mark(), self._running[-1]))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Give the time spent inside to a stage."""
        self._running.append(name)
        self._switch()
        try:
            yield
        finally:
            self._running.pop()
            self._switch()

    @contextmanager
    def watch(self, seams: Sequence[Seam]) -> Iterator[None]:
        """Make stages of the calls of these methods."""

        def timed(method: Callable, stage: str) -> Callable:
            def call(*args, **kwargs):
                with self.stage(stage):
                    return method(*args, **kwargs)

            return call

        with ExitStack() as stack:
            for owner, name, stage in seams:
                method = timed(getattr(owner, name), stage)
                stack.enter_context(temporary_attribute(owner, name, method))
            yield

    def time(self, run: Callable[[], object]) -> dict[str, float]:
        """Return the seconds of each stage of a call, whose result is dropped.

        Together they are all of its time.
        """
        self._marks, self._running = [], [REST]
        self.synchronise()
        self._switch()
        run()
        self._switch()
        self.synchronise()
        seconds: Counter = Counter()
        for (start, stage), (end, _) in zip(self._marks, self._marks[1:], strict=False):
            seconds[stage] += self.elapsed(start, end)
        return dict(seconds)


def _record_event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def stopwatch(function: Callable, *args, **kwargs) -> tuple[float, object]:
    """Return seconds and result of a call, the GPU's work done before and after."""
    start = timer()
    result = function(*args, **kwargs)
    return timer() - start, result


def interleave(turns: Sequence[Turn], repeats: int) -> Iterator[list[Turn]]:
    """Yield all turns once in each repetition, in an order drawn anew.

    A slow minute of the machine then hits all of them.
    """
    order = random.Random(0)
    for _ in range(repeats):
        yield order.sample(list(turns), len(turns))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return median and quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return dict(median=median, quartiles=[low, high])


def peak_memory(run: Callable[[], object], device: torch.device | str) -> int:
    """Return the bytes that a call needs at a time, see `MEMORY_CONVENTION`."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # it talks on standard output
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    # `profiler.events()` has only those that no operator made.
    events = profiler.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == '[memory]']
    changes.sort(key=lambda event: event.start_ns())
    held = peak = 0
    for change in changes:
        held += change.nbytes()
        peak = max(peak, held)
    return peak
