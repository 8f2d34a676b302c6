"""Whether a runtime says of images what PyTorch does.

With the decisions of the runtime imposed on PyTorch, what is left is rounding. Free,
what is told is how many decisions the two do not share.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from .decisions import ENTER, Decisions, deciding, share_changed
from .graph import DetectionGraph

# Images (bs, 3, h, w) uint8 -> outputs of the graph, decisions last.
Runtime = Callable[[np.ndarray], list[np.ndarray]]

MOST_PIXELS, MOST_SCORE = 0.1, 1e-3


@dataclass
class Agreement:
    """What a runtime and PyTorch have in common.

    Attributes:
        images: How many were compared.
        pixels: Largest difference of a corner, in pixels, all decisions alike.
        score: Largest difference of a score, likewise.
        masks: Share of the cells of masks that differ, likewise; None without masks.
        changed: Mean share of decisions that differ when each decides for itself, of
            `proposals`, `routing` and `detections`, where there are such.
    """

    images: int = 0
    pixels: float = 0.0
    score: float = 0.0
    masks: float | None = None
    changed: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in a line."""
        parts = [
            f'boxes within {self.pixels:.2g} pixels, scores within {self.score:.2g}'
        ]
        if self.masks is not None:
            parts.append(f'{self.masks:.2%} of mask cells differ')
        told = [f'{share:.2%} of {name}' for name, share in self.changed.items()]
        parts.append(f'free, {", ".join(told)} decided otherwise')
        return f'{"; ".join(parts)} ({self.images} images)'

    def as_record(self) -> dict:
        """Return it for JSON."""
        return asdict(self)

    def require(self, name: str) -> None:
        """Refuse a difference that is more than rounding.

        Args:
            name: Of the runtime.

        Raises:
            ConfigError: If there is one.
        """
        if self.pixels <= MOST_PIXELS and self.score <= MOST_SCORE:
            return
        raise ConfigError(
            f'{name} does not say what PyTorch says: {self}; at most {MOST_PIXELS} '
            f'pixels and {MOST_SCORE} were expected, so nothing was written.'
        )


@torch.no_grad()
def agreement(
    graph: DetectionGraph, runtime: Runtime, images: Iterable[np.ndarray]
) -> Agreement:
    """Compare a runtime with PyTorch.

    Args:
        images: (3, h, w) uint8, RGB. Each is looked at beside its mirror image, as a
            batch of two.
    """
    result = Agreement()
    changed: dict[str, list[float]] = {}
    cells = []
    for image in images:
        batch = np.stack((image, image[:, :, ::-1]))
        outputs = [torch.from_numpy(np.array(found)) for found in runtime(batch)]
        count = len(graph.outputs)
        found, theirs = outputs[:count], outputs[count:]
        pixels = torch.from_numpy(batch)
        with deciding(graph.detector, theirs):
            alike = graph.detect(pixels)
        with deciding(graph.detector) as ours:
            graph.detect(pixels)
        result.images += len(batch)
        result.pixels = max(result.pixels, _distance(found[0], alike[0]))
        result.score = max(result.score, _distance(found[1], alike[1]))
        if count > 3:
            cells.append(float(((found[3] > 0) != (alike[3] > 0)).float().mean()))
        for name, kind, own, other in zip(
            decision_kinds(graph.kinds), graph.kinds, _made(ours), theirs, strict=True
        ):
            changed.setdefault(name, []).append(share_changed(kind, own, other))
    result.masks = mean(cells) if cells else None
    result.changed = {name: mean(shares) for name, shares in changed.items()}
    return result


def decision_kinds(kinds: list[str]) -> list[str]:
    """Return what each decision is about; the last one picks the detections."""
    names = ['routing' if kind == ENTER else 'proposals' for kind in kinds[:-1]]
    return [*names, 'detections']


def _made(decisions: Decisions) -> list[Tensor]:
    return [made for _, made in decisions.made]


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().nan_to_num(torch.inf).max())


def onnx_runtime(model: bytes) -> Runtime:
    """Return ONNX Runtime with a model, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model, options, providers=['CPUExecutionProvider']
    )
    return lambda images: session.run(None, {'images': images})


def openvino_runtime(model: Any) -> Runtime:
    """Return OpenVINO with a model of its own, on the CPU in single precision."""
    import openvino

    # Left alone it may take bfloat16, where the processor has it.
    options = dict(
        INFERENCE_PRECISION_HINT='f32', INFERENCE_NUM_THREADS=torch.get_num_threads()
    )
    compiled = openvino.Core().compile_model(model, 'CPU', options)
    return lambda images: list(compiled(images).values())
