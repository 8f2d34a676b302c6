"""The numbers of an efficiency measurement: by model, in ratios, as JSON.

Filled by :mod:`.efficiency`, drawn by :mod:`.efficiency_picture`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...records.schema import COUNT, NUMBER, TEXT, fields, list_of, or_none, table_of
from .complexity import Complexity
from .timing import STAGES, percentile, summary

SPREAD = fields(median=NUMBER, quartiles=list_of(NUMBER))
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
                batches=list_of(fields(peak_bytes=or_none(NUMBER), seconds=SPREAD)),
            ),
        )
    ),
)


def mean_and_spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation, of these values and no larger set."""
    return dict(mean=float(np.mean(values)), std=float(np.std(values)))


@dataclass(frozen=True)
class BatchCost:
    """Calls of one model with batches of one size: predictions, or training steps.

    Attributes:
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
        """JSON types; stages as medians."""
        return dict(
            batch_size=self.batch_size,
            peak_bytes=self.peak_bytes,
            p50=percentile(self.seconds, 50),
            p95=percentile(self.seconds, 95),
            stages=self.stage_medians,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class ModelCost:
    """What one model costs.

    Attributes:
        detector: Name of its class.
        counted: Parameters and FLOPs, for each picture.
        weight_bytes: Parameters and buffers.
    """

    name: str
    detector: str
    counted: Sequence[Complexity]
    weight_bytes: int
    batches: Sequence[BatchCost]

    @property
    def flops(self) -> dict[str, float]:
        """Mean and spread over the pictures."""
        return mean_and_spread([one.total_flops for one in self.counted])

    def ratios(self, base: 'ModelCost') -> dict[str, Any]:
        """This model's numbers over those of another, of the same run."""
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
        """JSON types, with the ratios to another model."""
        stages = dict.fromkeys(stage for one in self.counted for stage in one.flops)
        return dict(
            name=self.name,
            detector=self.detector,
            params=self.counted[0].total_params,
            training_params=self.counted[0].training_params,
            flops=self.flops,
            flops_by_stage={
                stage: mean_and_spread(
                    [one.flops.get(stage, 0) for one in self.counted]
                )
                for stage in stages
            },
            flops_by_picture=[one.total_flops for one in self.counted],
            weight_bytes=self.weight_bytes,
            batches=[batch.as_dict() for batch in self.batches],
            ratios=self.ratios(base),
        )


@dataclass(frozen=True)
class Efficiency:
    """What several models cost on the same pictures, and how it was measured."""

    protocol: dict[str, Any]
    models: Sequence[ModelCost]

    def as_dict(self) -> dict[str, Any]:
        """As `SCHEMA` has it; ratios are those to the first model."""
        base = self.models[0]
        models = [model.as_dict(base) for model in self.models]
        return dict(protocol=self.protocol, models=models)
