"""What a call has a GPU and its host do, as torch's profiler sees it."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

# What makes the host wait for the stream: `item()`, `nonzero()`, copies to the CPU.
_WAITS = ('cudaStreamSynchronize', 'cudaEventSynchronize', 'cudaMemcpy')
_LAUNCHES = ('cudaLaunchKernel', 'cudaLaunchKernelExC', 'cuLaunchKernel')


def count_operations(run: Callable[[], object], device: str) -> dict:
    """Return counts of one call, and how long the GPU was busy with it.

    Numbers of a GPU are None on a CPU, and where the profiler may not look at it.
    """
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # it talks on standard output
    activities = [ProfilerActivity.CPU]
    if device == 'cuda':
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        run()
    names: Counter[str] = Counter()
    work = []
    for event in profiler.profiler.kineto_results.events():
        if event.device_type() == DeviceType.CPU:
            names[event.name()] += 1
        elif not _is_annotation(event):
            work.append((event.start_ns(), event.end_ns(), event.name()))
    aten = sum(count for name, count in names.items() if name.startswith('aten::'))
    counts = dict(
        aten=aten,
        items=names['aten::_local_scalar_dense'],
        nonzeros=names['aten::nonzero'],
    )
    on_gpu = dict(
        busy_seconds=busy_seconds([(start, end) for start, end, _ in work]),
        kernels=sum(not name.startswith(('Mem', 'mem')) for *_, name in work),
        launches=sum(names[name] for name in _LAUNCHES),
        copies_to_host=sum('DtoH' in name for *_, name in work),
        waits=sum(names[name] for name in _WAITS),
    )
    return counts | (on_gpu if work else dict.fromkeys(on_gpu))


def _is_annotation(event: Any) -> bool:
    """Tell a named span, as of an optimizer's step, from work that the GPU does."""
    return hasattr(event, 'is_user_annotation') and event.is_user_annotation()


def busy_seconds(spans: list[tuple[int, int]]) -> float:
    """Return for how long at least one of the spans, in nanoseconds, was going on."""
    total, until = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total / 1e9
