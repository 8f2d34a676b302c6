#!/usr/bin/env python
"""Draw validation pictures with ground truth beside predictions.

python tools/analysis/side_by_side.py CONFIG CHECKPOINT --out FILE.png
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
from checks import check_data, check_fraction, check_picture

from mmdet_qrpaq.analysis.side_by_side import draw_side_by_side
from mmdet_qrpaq.analysis.trained_detector import (
    add_detector_arguments,
    build_dataloader,
    load_detector,
)
from mmdet_qrpaq.runtime.cli import run
from mmdet_qrpaq.runtime.configs import read_config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Validation pictures in pairs: ground truth | predictions.'
    )
    add_detector_arguments(parser, score_threshold=0.5)
    parser.add_argument(
        '--num-pictures', type=int, default=12, help='pictures to draw (12)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='file to write (side_by_side.png beside the checkpoint)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw, write and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
    """
    args = parse_args(argv)
    check_fraction('--score-threshold', args.score_threshold)
    out = args.out or Path(args.checkpoint).parent / 'side_by_side.png'
    check_picture(out)
    cfg = read_config(args.config, args.cfg_options)
    check_data(cfg, args.split)
    figure = draw_side_by_side(
        load_detector(cfg, args.checkpoint),
        build_dataloader(cfg, args.split).dataset,
        num_pictures=args.num_pictures,
        score_threshold=args.score_threshold,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(out)


if __name__ == '__main__':
    run(main)
