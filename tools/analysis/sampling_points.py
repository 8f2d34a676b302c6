#!/usr/bin/env python
"""Draw where chosen queries look, decoder layer by decoder layer, over pictures.

    python tools/analysis/sampling_points.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/sampling_points.py CONFIG CHECKPOINT \\
        --images 000000000139.jpg --queries 3 17

Works on every DETR of MMDetection with deformable attention in its decoder. With query
routing, bypassed queries are marked. What is drawn is told by
``mmdet_qrpaq/analysis/sampling/points.py``.
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

NAME = 'sampling_points'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_detector_arguments(parser)
    parser.add_argument(
        '--images', nargs='+', metavar='FILE', help='pictures by their file name'
    )
    parser.add_argument(
        '--num-pictures', type=int, default=2, help='or the first so many (2)'
    )
    parser.add_argument(
        '--queries', type=int, nargs='+', metavar='INDEX', help='these queries'
    )
    parser.add_argument(
        '--num-queries',
        type=int,
        default=3,
        help='or so many of the most confident ones of each picture, one an object (3)',
    )
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Follow the queries, draw, write and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data
    from output import output_files

    from mmdet_qrpaq.analysis.sampling.figure import draw_sampling_points
    from mmdet_qrpaq.analysis.sampling.points import (
        find_pictures,
        require_deformable,
        sample_pictures,
    )
    from mmdet_qrpaq.analysis.sampling.result import SCHEMA, collect_numbers
    from mmdet_qrpaq.analysis.trained_detector import build_dataloader, load_detector
    from mmdet_qrpaq.errors import check_number
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result
    from mmdet_qrpaq.runtime.configs import parse_settings, read_config

    for option in ('num_pictures', 'num_queries'):
        flag = f'--{option.replace("_", "-")}'
        check_number(flag, getattr(args, option), 1, whole=True, hint='at least 1')
    table, picture = output_files(args.out, NAME, Path(args.checkpoint).parent)
    cfg = read_config(args.config, parse_settings(args.cfg_options))
    check_data(cfg, args.split)
    detector = load_detector(cfg, args.checkpoint)
    require_deformable(detector)
    dataset = build_dataloader(cfg, args.split).dataset
    indices = list(range(min(args.num_pictures, len(dataset))))
    if args.images:
        indices = find_pictures(dataset, args.images)
    followed = sample_pictures(
        detector,
        dataset,
        indices,
        num_queries=args.num_queries,
        queries=args.queries,
    )
    numbers = collect_numbers(followed, detector.num_queries)
    origin = describe_origin(
        config=args.config, checkpoint=args.checkpoint, split=args.split
    )
    print(write_result(table, NAME, origin, numbers, SCHEMA))
    draw_sampling_points(followed, detector.num_queries).savefig(picture, dpi=160)
    print(picture)


if __name__ == '__main__':
    run(main)
