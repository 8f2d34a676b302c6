"""What `export_parity.py` measures of one detector."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from rich.progress import track

from mmdet_qrpaq.analysis.detections.average_precision import (
    build_evaluator,
    evaluate,
)
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.export.graph import DetectionGraph
from mmdet_qrpaq.export.onnx_file import record
from mmdet_qrpaq.export.parity import (
    Runtime,
    agreement,
    onnx_runtime,
    openvino_runtime,
)
from mmdet_qrpaq.images.reading import read_image
from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.runtime.configs import read_config
from tiny_hosts import MASKS, METHODS, build, build_upstream, host_config

CAPACITY = 5  # of the 12 queries


def digits(number: int) -> list[np.ndarray]:
    """Return images of digits, whole and cut at the bottom, (3, h, w) uint8 each."""
    images = []
    for path in sorted((ROOT / 'data' / 'digits' / 'val').iterdir())[:number]:
        pixels = np.ascontiguousarray(read_image(str(path)).transpose(2, 0, 1))
        images += [pixels, np.ascontiguousarray(pixels[:, :-31])]
    return images


def small_detector(host: str, method: str) -> torch.nn.Module:
    """Return a host of the tests with a method, in eval mode."""
    if method == 'upstream':
        return build_upstream(host).eval()
    name, _, addition = method.partition(' with ')
    options = dict(METHODS[name])
    if addition == 'capacity':
        options['query_routing'] = dict(options['query_routing'], capacity=CAPACITY)
    elif addition == 'masks':
        options['mask_branch'] = MASKS
    return build(host_config(host, **options)).eval()


def row(host: str, method: str, images: list[np.ndarray]) -> dict[str, Any]:
    """Return what both runtimes have in common with PyTorch."""
    graph = DetectionGraph(small_detector(host, method))
    start = time.process_time()
    model = record(graph)
    seconds = time.process_time() - start
    return dict(
        host=host,
        method=method,
        detector=type(graph.detector).__name__,
        seconds=round(seconds, 1),
        nodes=len(model.graph.node),
        **{
            name: agreement(graph, runtime, images).as_record()
            for name, runtime in runtimes(model).items()
        },
    )


def runtimes(model: Any) -> dict[str, Runtime]:
    """Return both runtimes with a model."""
    told = model.SerializeToString()
    return dict(
        onnxruntime=onnx_runtime(told),
        openvino=openvino_runtime(openvino.Core().read_model(told)),
    )


@torch.no_grad()
def average_precisions(config: str, checkpoint: str) -> dict[str, Any]:
    """Return the AP of a trained detector by PyTorch and by both runtimes."""
    model = TrainedModel(Path(config).stem, config, checkpoint, read_config(config))
    detector, dataset = model.detector.cpu(), model.dataloader.dataset
    graph = DetectionGraph(detector)
    found = runtimes(record(graph))
    evaluators = {name: build_evaluator(model) for name in ('torch', *found)}
    for index in track(range(len(dataset)), 'predicting'):
        item = dataset[index]
        batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        predicted = detector.test_step(batch)[0]
        evaluators['torch'].process([predicted])
        images = item['inputs'].flip(0)[None].numpy()
        for name, runtime in found.items():
            boxes, scores, labels = (
                torch.from_numpy(np.array(output[0])) for output in runtime(images)[:3]
            )
            scale = boxes.new_tensor(predicted.metainfo['scale_factor']).repeat(2)
            sample = DetDataSample(metainfo=predicted.metainfo)
            sample.pred_instances = InstanceData(
                bboxes=boxes / scale, scores=scores, labels=labels
            )
            evaluators[name].process([sample])
    return dict(
        images=len(dataset),
        **{name: evaluate(e, len(dataset)) for name, e in evaluators.items()},
    )
