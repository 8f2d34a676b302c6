#!/usr/bin/env python
"""Lay out pictures by their pattern weights W^D with t-SNE (PaQ-DETR Fig. 6).

    python tools/analysis/pattern_embedding.py CONFIG CHECKPOINT --by supercategory

Each point is a picture or, with --points detections, a successful detection; colours
are classes. For models with patterns (``model.pattern_query``).
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import (
    add_detector_arguments,
    add_output_argument,
    load_package,
    run,
)

NAME = 'pattern_embedding'
POINTS = ('pictures', 'detections')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='t-SNE of the pattern weights (W^D) of pictures or detections, '
        'coloured by class or super-class, with thumbnails.'
    )
    add_detector_arguments(parser, score_threshold=0.5, iou_threshold=0.7)
    parser.add_argument(
        '--points',
        choices=POINTS,
        default='pictures',
        help='what a point is: all of W^D of a picture, as in the paper (pictures), or '
        'the row of a successful detection; the thresholds are for the latter',
    )
    parser.add_argument(
        '--by',
        choices=['class', 'supercategory'],
        default='class',
        help='what the colours are (class)',
    )
    parser.add_argument(
        '--pictures',
        type=int,
        default=200,
        help='most pictures, spread evenly over the data set (200)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the t-SNE (0)')
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Lay out, print and write.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work, or the model
            has no patterns.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data, check_fraction
    from output import output_files

    from mmdet_qrpaq.analysis.patterns.capture import require_patterns
    from mmdet_qrpaq.analysis.patterns.embedding import SCHEMA, draw, measure
    from mmdet_qrpaq.analysis.patterns.points import supercategories
    from mmdet_qrpaq.analysis.trained_detector import build_dataloader, load_detector
    from mmdet_qrpaq.errors import check_number
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result
    from mmdet_qrpaq.runtime.configs import parse_settings, read_config

    check_fraction('--score-threshold', args.score_threshold)
    check_fraction('--iou-threshold', args.iou_threshold)
    check_number('--pictures', args.pictures, 1, whole=True, hint='the paper: 200')
    check_number('--seed', args.seed, 0, 2**32 - 1, whole=True, hint='any')
    table, picture = output_files(args.out, NAME, Path(args.checkpoint).parent)
    cfg = read_config(args.config, parse_settings(args.cfg_options))
    check_data(cfg, args.split)
    dataset = build_dataloader(cfg, args.split).dataset
    groups = supercategories(dataset) if args.by == 'supercategory' else None
    detector = load_detector(cfg, args.checkpoint)
    require_patterns(detector)
    result = measure(
        detector,
        dataset,
        points=args.points,
        groups=groups,
        num_pictures=args.pictures,
        score_threshold=args.score_threshold,
        iou_threshold=args.iou_threshold,
        seed=args.seed,
    )
    origin = describe_origin(
        config=args.config, checkpoint=args.checkpoint, split=args.split, by=args.by
    )
    write_result(table, NAME, origin, result.as_dict(), SCHEMA)
    draw(result).savefig(picture, dpi=200)
    print(
        f'nearest neighbour of the same {args.by}: '
        f'{100 * result.neighbour_agreement:.1f} % of {len(result.groups)} '
        f'{args.points} (by chance {100 * result.chance_agreement:.1f} %)'
    )
    print(table, picture, sep='\n')


if __name__ == '__main__':
    run(main)
