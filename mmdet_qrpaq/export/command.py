"""What `tools/model/export.py` does: record, compare, write."""

from pathlib import Path

import mmcv
import numpy as np

from ..analysis.trained_detector import TrainedModel
from ..errors import ConfigError
from ..runtime.checkpoints import read_checkpoint
from .graph import DetectionGraph
from .onnx_file import facts_of, record, without_decisions, write_onnx, write_openvino
from .parity import Runtime, agreement, onnx_runtime, openvino_runtime
from .thresholds import thresholds_of

NOISE = (256, 320)  # height and width of images where there are none


def export(
    model: TrainedModel,
    out: Path,
    size: tuple[int, int] | None = None,
    openvino: bool = False,
    check: int = 4,
) -> None:
    """Tell what a model's graph has in common with PyTorch, and write its files.

    Args:
        size: (height, width) of all images; None: any.
        check: Number of images to compare on.

    Raises:
        ConfigError: The model cannot be exported, or a runtime says something else.
    """
    graph = DetectionGraph(model.detector.cpu())
    classes = classes_of(model, graph)
    thresholds = thresholds_of(model.checkpoint, classes)
    images = images_of(model, check, size)
    print('recording the graph, some minutes for a large model', flush=True)
    recorded = record(graph, size)
    told = recorded.SerializeToString()
    compare(graph, 'ONNX Runtime', onnx_runtime(told), images)
    plain = without_decisions(recorded, len(graph.outputs))
    if openvino:
        from openvino import Core

        core = Core()
        runtime = openvino_runtime(core.read_model(told))
        compare(graph, 'OpenVINO', runtime, images)
    written = write_onnx(
        plain, out, facts_of(model.cfg, graph, classes, thresholds, size)
    )
    if openvino:
        written += write_openvino(core.read_model(plain.SerializeToString()), out)
    for path in written:
        print(f'written: {path}')


def compare(
    graph: DetectionGraph, name: str, runtime: Runtime, images: list[np.ndarray]
) -> None:
    """Tell what a runtime has in common with PyTorch; refuse it if it is not enough."""
    if not images:
        return
    found = agreement(graph, runtime, images)
    found.require(name)
    print(f'{name} and PyTorch: {found}')


def classes_of(model: TrainedModel, graph: DetectionGraph) -> list[str]:
    """Return the names of a model's classes, by label; numbers where none is known."""
    meta = (
        {} if model.is_untrained else read_checkpoint(model.checkpoint).get('meta', {})
    )
    names = (meta.get('dataset_meta') or {}).get('classes')
    if names is None:
        try:
            names = model.classes
        except ConfigError:
            names = range(graph.detector.bbox_head.num_classes)
    return list(map(str, names))


def images_of(
    model: TrainedModel, number: int, size: tuple[int, int] | None
) -> list[np.ndarray]:
    """Return images as the network sees them, or noise where there are none.

    Shapes:
        returns: (3, height, width) uint8 each, RGB
    """
    if not number:
        return []
    try:
        dataset = model.dataloader.dataset
    except ConfigError as error:
        print(f'noise is compared, as there are no images for validation: {error}')
        rng = np.random.default_rng(0)
        shape = (3, *(size or NOISE))
        return [rng.integers(0, 256, shape, np.uint8) for _ in range(number)]
    images = []
    for index in range(min(number, len(dataset))):
        pixels = dataset[index]['inputs'].numpy()[::-1].transpose(1, 2, 0)
        if size:
            pixels = mmcv.imresize(np.ascontiguousarray(pixels), size[::-1])
        images.append(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    return images
