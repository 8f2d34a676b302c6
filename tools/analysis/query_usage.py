#!/usr/bin/env python
"""Count which query finds which object over a validation set; draw it, with Gini.

    python tools/analysis/query_usage.py CONFIG CHECKPOINT --out-dir FOLDER

Works on every DETR of MMDetection. What a hit is, is told by
``mmdet_qrpaq/analysis/query_usage.py``.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
from checks import check_data, check_fraction, check_picture

from mmdet_qrpaq.analysis.query_usage import (
    count_query_hits,
    write_query_usage,
)
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
        description='Hits per query over a validation set, Gini coefficient and Lorenz '
        'curve, as query_usage.json and query_usage.png.'
    )
    add_detector_arguments(parser, score_threshold=0.3)
    parser.add_argument(
        '--iou-threshold',
        type=float,
        default=0.5,
        help='least IoU of a correct hit (0.5)',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        help="folder for the results (the checkpoint's)",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Count, write and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
    """
    args = parse_args(argv)
    check_fraction('--score-threshold', args.score_threshold)
    check_fraction('--iou-threshold', args.iou_threshold)
    folder = args.out_dir or Path(args.checkpoint).parent
    check_picture(folder / 'query_usage.png')
    cfg = read_config(args.config, args.cfg_options)
    check_data(cfg, args.split)
    usage = count_query_hits(
        load_detector(cfg, args.checkpoint),
        build_dataloader(cfg, args.split),
        score_threshold=args.score_threshold,
        iou_threshold=args.iou_threshold,
    )
    table, picture = write_query_usage(usage, folder)
    numbers = usage.as_dict()
    for name, value in (
        ('matched', numbers['gini']),
        ('confident and correct', numbers['gini_confident']),
    ):
        print(f'Gini, {name}: {"no hits" if value is None else f"{value:.3f}"}')
    print(f'queries without a hit: {numbers["unused_queries"]} of {len(usage.hits)}')
    print(table, picture, sep='\n')


if __name__ == '__main__':
    run(main)
