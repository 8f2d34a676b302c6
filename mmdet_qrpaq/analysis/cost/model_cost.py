"""What models cost, as JSON: parameters, FLOPs, memory, time, in ratios to the first.

`efficiency.SCHEMA` describes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from .complexity import Complexity
from .timing import STAGES, summary


@dataclass(frozen=True)
class BatchCost:
    """Calls of one model with batches of one size: predictions, or training steps.

    Attributes:
        batch_size: Images in a batch.
        peak_bytes: Beside the weights.
        stages: Seconds of each stage, for each repetition.
    """

    batch_size: int
    peak_bytes: int
    stages: Sequence[Mapping[str, float]]

    @property
    def seconds(self) -> list[float]:
        """Of a whole batch, for each repetition."""
        return [sum(stages.values()) for stages in self.stages]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; stages as medians, in the order they run in."""
        names = {name for stages in self.stages for name in stages}
        medians = {
            name: float(np.median([stages.get(name, 0.0) for stages in self.stages]))
            for name in STAGES
            if name in names
        }
        p50, p95 = np.percentile(self.seconds, [50, 95]).tolist()
        return dict(
            batch_size=self.batch_size,
            peak_bytes=self.peak_bytes,
            p50=p50,
            p95=p95,
            stages=medians,
            seconds=self.seconds,
        )


def describe(
    name: str,
    detector: nn.Module,
    counted: Sequence[Complexity],
    batches: Sequence[BatchCost],
) -> dict[str, Any]:
    """Return what one model costs, as JSON types, but for the ratios.

    Args:
        name: In tables and legends.
        counted: Parameters and FLOPs, for each image.
        batches: For each batch size.
    """
    totals = [one.total_flops for one in counted]
    stages = dict.fromkeys(stage for one in counted for stage in one.flops)
    tensors = (*detector.parameters(), *detector.buffers())
    return dict(
        name=name,
        detector=type(detector).__name__,
        params=counted[0].total_params,
        training_params=counted[0].training_params,
        flops=_mean_and_spread(totals),
        flops_by_stage={
            stage: _mean_and_spread([one.flops.get(stage, 0) for one in counted])
            for stage in stages
        },
        flops_by_picture=totals,
        weight_bytes=sum(tensor.nbytes for tensor in tensors),
        batches=[batch.as_dict() for batch in batches],
    )


def ratios(model: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return a model's numbers over those of another, of the same run.

    Args:
        model: As of `describe`, like the other.
    """
    batches = []
    for ours, theirs in zip(model['batches'], base['batches'], strict=True):
        pairs = zip(ours['seconds'], theirs['seconds'], strict=True)
        peaks = ours['peak_bytes'], theirs['peak_bytes']
        # A tiny run on a GPU may need nothing beside the weights.
        memory = peaks[0] / peaks[1] if peaks[1] else None
        batches.append(
            dict(peak_bytes=memory, seconds=summary([a / b for a, b in pairs]))
        )
    return dict(
        params=model['params'] / base['params'],
        flops=model['flops']['mean'] / base['flops']['mean'],
        batches=batches,
    )


def _mean_and_spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean and standard deviation, of these values and no larger set."""
    return dict(mean=float(np.mean(values)), std=float(np.std(values)))
