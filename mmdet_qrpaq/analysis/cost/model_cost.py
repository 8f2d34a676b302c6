"""What models cost, as JSON: parameters, FLOPs, memory, time, in ratios to the first.

`efficiency.SCHEMA` describes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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

    @property
    def stage_medians(self) -> dict[str, float]:
        """Median seconds of each stage, in the order they run in."""
        names = {name for stages in self.stages for name in stages}
        return {
            name: float(np.median([stages.get(name, 0.0) for stages in self.stages]))
            for name in STAGES
            if name in names
        }

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; stages as medians."""
        p50, p95 = np.percentile(self.seconds, [50, 95]).tolist()
        return dict(
            batch_size=self.batch_size,
            peak_bytes=self.peak_bytes,
            p50=p50,
            p95=p95,
            stages=self.stage_medians,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class ModelCost:
    """What one model costs.

    Attributes:
        name: In tables and legends.
        detector: Name of its class.
        counted: Parameters and FLOPs, for each image.
        weight_bytes: Parameters and buffers.
        batches: For each batch size.
    """

    name: str
    detector: str
    counted: Sequence[Complexity]
    weight_bytes: int
    batches: Sequence[BatchCost]

    @property
    def flops(self) -> dict[str, float]:
        """Mean and standard deviation over the images."""
        return _mean_and_spread([one.total_flops for one in self.counted])

    def ratios(self, base: 'ModelCost') -> dict[str, Any]:
        """Return this model's numbers over those of another, of the same run."""
        batches = []
        for ours, theirs in zip(self.batches, base.batches, strict=True):
            pairs = zip(ours.seconds, theirs.seconds, strict=True)
            # A tiny run on a GPU may need nothing beside the weights.
            memory = ours.peak_bytes / theirs.peak_bytes if theirs.peak_bytes else None
            batches.append(
                dict(peak_bytes=memory, seconds=summary([a / b for a, b in pairs]))
            )
        return dict(
            params=self.counted[0].total_params / base.counted[0].total_params,
            flops=self.flops['mean'] / base.flops['mean'],
            batches=batches,
        )

    def as_dict(self, base: 'ModelCost') -> dict[str, Any]:
        """Return JSON types, with the ratios to another model."""
        stages = dict.fromkeys(stage for one in self.counted for stage in one.flops)
        return dict(
            name=self.name,
            detector=self.detector,
            params=self.counted[0].total_params,
            training_params=self.counted[0].training_params,
            flops=self.flops,
            flops_by_stage={
                stage: _mean_and_spread(
                    [one.flops.get(stage, 0) for one in self.counted]
                )
                for stage in stages
            },
            flops_by_picture=[one.total_flops for one in self.counted],
            weight_bytes=self.weight_bytes,
            batches=[batch.as_dict() for batch in self.batches],
            ratios=self.ratios(base),
        )


def _mean_and_spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean and standard deviation, of these values and no larger set."""
    return dict(mean=float(np.mean(values)), std=float(np.std(values)))
