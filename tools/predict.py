#!/usr/bin/env python
"""Detect objects on images, folders of images and videos.

    python tools/predict.py work_dirs/NAME/epoch_12.pth IMAGE_OR_FOLDER_OR_VIDEO ...
    python tools/predict.py MODEL.pth aerial.tif --tiles 1024

Writes a new folder: drawn images and videos, detections.csv, detections.json (COCO),
and predictions.json (COCO's results, with what is under the threshold, too). The config
is read out of the checkpoint, the threshold is the best one of the model's own
validation. Exit status 1: some input could not be read; the others are done.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mmdet_qrpaq.command_line import (
    add_config_options,
    count,
    load_package,
    new_parser,
    run,
    share,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument('model', help='checkpoint written by training (.pth)')
    parser.add_argument(
        'inputs', nargs='+', metavar='INPUT', help='image, video or folder of them'
    )
    parser.add_argument('--out', metavar='DIR', help='folder (beside the checkpoint)')
    parser.add_argument(
        '--threshold',
        type=share,
        help="least score, for all classes (the best of the model's validation, by "
        'class)',
    )
    parser.add_argument(
        '--ann-file',
        metavar='FILE.json',
        help='take the ids of images and categories from this COCO file',
    )
    parser.add_argument(
        '--tiles',
        type=partial(count, least=32),
        metavar='SIZE',
        help='cut large images into tiles of SIZE x SIZE pixels, too',
    )
    parser.add_argument(
        '--overlap',
        type=share,
        default=0.2,
        help='of neighbouring tiles, as a share of their size (0.2)',
    )
    parser.add_argument('--config', help='config file, where the checkpoint holds none')
    add_config_options(parser)
    parser.add_argument(
        '--batch-size',
        type=count,
        help="images or tiles at a time (the config's own for a test)",
    )
    parser.add_argument(
        '--device', help='cpu, cuda, cuda:1, ... (a GPU if there is one)'
    )
    args = parser.parse_args(argv)
    if args.overlap > 0.9:
        parser.error(f'argument --overlap: must be at most 0.9, got {args.overlap}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Predict.

    Raises:
        ConfigError: If arguments, checkpoint or config cannot work.
    """
    args = parse_args(argv)

    load_package()
    from mmdet_qrpaq.prediction.command import run as predict

    if status := predict(args):
        sys.exit(status)


if __name__ == '__main__':
    run(main)
