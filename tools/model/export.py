#!/usr/bin/env python
"""Export a trained detector to ONNX, and to OpenVINO from the same graph.

    python tools/model/export.py CONFIG CHECKPOINT OUT.onnx --openvino

In the graph: normalisation, channel order, and the choice of detections. Images are
uint8, RGB, (n, 3, height, width); boxes come out in pixels of these. OUT.json and
detect_onnx.py, which needs onnxruntime, numpy and pillow alone, are written beside it.
Before, the graph is compared with PyTorch. More: docs/export.md.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import (
    add_config_options,
    count,
    load_package,
    new_parser,
    run,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint written by training (.pth)')
    parser.add_argument('out', type=Path, metavar='OUT.onnx', help='file to write')
    parser.add_argument(
        '--size',
        type=count,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='of all images, in pixels, for runtimes that want to know it (any)',
    )
    parser.add_argument(
        '--openvino', action='store_true', help='also write OUT.xml and OUT.bin'
    )
    parser.add_argument(
        '--check',
        type=lambda text: count(text, 0),
        default=4,
        metavar='N',
        help='compare on the first N images for validation, or on N of noise where '
        'there are none; 0: do not (4)',
    )
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Export, write and compare.

    Raises:
        ConfigError: If the model cannot be exported, or a runtime says something else.
    """
    args = parse_args(argv)

    load_package()
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401

    if args.openvino:
        import openvino  # noqa: F401

    from mmdet_qrpaq.analysis.trained_detector import TrainedModel
    from mmdet_qrpaq.export.command import export
    from mmdet_qrpaq.records.results import check_writable
    from mmdet_qrpaq.runtime.configs import read_config
    from mmdet_qrpaq.settings.options import parse_settings

    check_writable(args.out, '.onnx')
    cfg = read_config(args.config, parse_settings(args.cfg_options))
    model = TrainedModel(args.out.stem, args.config, args.checkpoint, cfg)
    size = tuple(args.size) if args.size else None
    export(model, args.out, size, args.openvino, args.check)


if __name__ == '__main__':
    run(main)
