"""From a graph to files of ONNX and OpenVINO, and what their reader has to know."""

import contextlib
import copy
import io
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config

from ..errors import ConfigError
from ..records.results import write_json, write_whole
from .graph import DetectionGraph
from .tracing import traceable

if TYPE_CHECKING:
    import onnx

# The first with `GridSample` as torch's exporter writes it.
OPSET = 20
# Of the images that are shown to the exporter; sides and batch stay symbols.
EXAMPLE = (2, 3, 416, 544)
SCRIPT = 'detect_onnx.py'


def record(
    graph: DetectionGraph, size: tuple[int, int] | None = None
) -> 'onnx.ModelProto':
    """Return a graph as ONNX, its decisions among its outputs.

    Args:
        size: (height, width) of all images; None: it may differ from call to call.

    Raises:
        ConfigError: torch's exporter is too old, or cannot follow the model.
    """
    if not hasattr(getattr(getattr(torch, 'export', None), 'Dim', None), 'DYNAMIC'):
        raise ConfigError(
            f'torch {torch.__version__} cannot follow sizes as symbols; export with '
            'torch 2.6 or newer.'
        )
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    shape = EXAMPLE if size is None else (*EXAMPLE[:2], *size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    sides = () if size else (2, 3)
    dynamic = {axis: torch.export.Dim.DYNAMIC for axis in (0, *sides)}
    with torch.no_grad(), _quietly(), traceable(graph.detector):
        graph(images)  # now it knows its decisions
        try:
            program = torch.onnx.export(
                graph,
                (images,),
                input_names=['images'],
                output_names=[*graph.outputs, *decision_names(graph)],
                dynamic_shapes=(dynamic,),
                opset_version=OPSET,
                dynamo=True,
                optimize=False,
                verbose=False,
            )
        except Exception as error:  # whatever a model does that no graph can hold
            while error.__cause__ is not None:
                error = error.__cause__
            reason = ' '.join(str(error).split())[:200]
            raise ConfigError(
                f'{type(graph.detector).__name__} cannot be exported: torch stops with '
                f'{reason!r}{"; try a fixed --size" if size is None else ""}.'
            ) from error
        # All that torch would ask of onnxscript breaks a graph (0.7.2: a value named
        # nowhere in Deformable-DETR) and takes as long as recording it; a runtime
        # does the rest when it loads the file.
        fold_constants(program.model)
        remove_unused_nodes(program.model)
    return program.model_proto


def decision_names(graph: DetectionGraph) -> list[str]:
    """Return the names of the decisions' outputs."""
    return [f'decision_{number}' for number in range(len(graph.kinds))]


def without_decisions(model: 'onnx.ModelProto', count: int) -> 'onnx.ModelProto':
    """Return a model that tells detections alone.

    Args:
        count: Number of outputs that stay.
    """
    plain = copy.deepcopy(model)
    del plain.graph.output[count:]
    return plain


def write_onnx(
    model: 'onnx.ModelProto', out: Path, facts: dict[str, Any]
) -> list[Path]:
    """Write the model, what is to be known of it, and a script that runs it.

    Returns:
        The three files.
    """
    script = Path(__file__).with_name(SCRIPT).read_text(encoding='utf-8')
    return [
        write_whole(out, model.SerializeToString()),
        write_json(out.with_suffix('.json'), facts),
        write_whole(out.with_name(SCRIPT), script),
    ]


def write_openvino(model: Any, out: Path) -> list[Path]:
    """Write a model of OpenVINO in single precision; return its two files."""
    import openvino

    written = [out.with_suffix(suffix) for suffix in ('.bin', '.xml')]
    with TemporaryDirectory(dir=out.parent) as folder:
        draft = Path(folder) / written[1].name
        openvino.save_model(model, draft, compress_to_fp16=False)
        for file in written:
            shutil.move(draft.with_suffix(file.suffix), file)
    return written


def facts_of(
    cfg: Config,
    graph: DetectionGraph,
    classes: list[str],
    thresholds: list[float],
    size: tuple[int, int] | None,
) -> dict[str, Any]:
    """Return what a reader has to know: how images are resized, what labels mean.

    Args:
        thresholds: By label, from which score on a detection counts.
    """
    return dict(
        input='images: (n, 3, height, width), uint8, RGB, one size, no padding',
        outputs=list(graph.outputs),
        size=None if size is None else list(size),
        **(_resizing(cfg) if size is None else {}),
        classes=classes,
        thresholds=thresholds,
    )


def _resizing(cfg: Config) -> dict[str, Any]:
    """Return how the test pipeline of a config resizes; nothing if it does not."""
    for split in ('test', 'val'):
        dataset = cfg.get(f'{split}_dataloader', {}).get('dataset', {})
        while 'pipeline' not in dataset and 'dataset' in dataset:
            dataset = dataset.dataset
        for step in dataset.get('pipeline', ()):
            if step.get('type') in ('Resize', 'mmdet.Resize') and step.get('scale'):
                short, long = sorted(step.scale)
                keep_ratio = bool(step.get('keep_ratio', False))
                width, height = step.scale
                if keep_ratio:
                    return dict(short_side=short, long_side=long)
                return dict(size=[height, width])
    return {}


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep off the screen what torch's exporter tells of its own steps."""
    loggers = [logging.getLogger(n) for n in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
