#!/usr/bin/env python
"""Show which patterns make the queries that find something (PaQ-DETR Fig. 5).

    python tools/analysis/pattern_weights.py CONFIG CHECKPOINT --classes person cat

Draws W^D of the successful detections of some classes, its distribution, and the
cosines between the patterns. For models with patterns (``model.pattern_query``).
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rich.console import Console
from rich.table import Table

from mmdet_qrpaq.command_line import (
    add_detector_arguments,
    add_output_argument,
    load_package,
    run,
)

NAME = 'pattern_weights'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Weights of the patterns (W^D) in the queries that find something, '
        'class by class, and the cosines between the patterns.'
    )
    add_detector_arguments(parser, score_threshold=0.5, iou_threshold=0.7)
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='classes to show (the four most often detected)',
    )
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def render(numbers: dict) -> Table:
    """One row a class, then one of all queries."""
    table = Table(
        title=f'W^D of {numbers["num_patterns"]} patterns, {numbers["num_images"]} '
        'pictures'
    )
    table.add_column('class')
    for column in ('detections', 'effective patterns', 'heaviest patterns'):
        table.add_column(column, justify='right')

    def add(name: str, count: str, row: dict) -> None:
        mean = row['mean_weights']
        heaviest = sorted(range(len(mean)), key=lambda i: -mean[i])[:3]
        cells = ', '.join(f'{i} ({mean[i]:.2f})' for i in heaviest)
        table.add_row(name, count, f'{row["effective_patterns"]:.1f}', cells)

    for row in numbers['classes']:
        add(row['name'], str(row['num_detections']), row)
    table.add_section()
    add('all queries', '', numbers['all_queries'])
    return table


def main(argv: list[str] | None = None) -> None:
    """Collect, print and write.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work, or the model
            has no patterns.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data, check_fraction
    from output import output_files

    from mmdet_qrpaq.analysis.patterns.weights import SCHEMA, draw, measure
    from mmdet_qrpaq.analysis.trained_detector import build_dataloader, load_detector
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result
    from mmdet_qrpaq.runtime.configs import parse_settings, read_config

    check_fraction('--score-threshold', args.score_threshold)
    check_fraction('--iou-threshold', args.iou_threshold)
    table, picture = output_files(args.out, NAME, Path(args.checkpoint).parent)
    cfg = read_config(args.config, parse_settings(args.cfg_options))
    check_data(cfg, args.split)
    result = measure(
        load_detector(cfg, args.checkpoint),
        build_dataloader(cfg, args.split),
        classes=args.classes,
        score_threshold=args.score_threshold,
        iou_threshold=args.iou_threshold,
    )
    origin = describe_origin(
        config=args.config, checkpoint=args.checkpoint, split=args.split
    )
    numbers = result.as_dict()
    write_result(table, NAME, origin, numbers, SCHEMA)
    draw(result).savefig(picture, dpi=200)
    Console(width=None if sys.stdout.isatty() else 100).print(render(numbers))
    print(table, picture, sep='\n')


if __name__ == '__main__':
    run(main)
