#!/usr/bin/env python
"""Count which query finds which object over a validation set; draw it, with Gini.

    python tools/analysis/query_usage.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/query_usage.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT

Works on every DETR of MMDetection. What a hit is, is told by
``mmdet_qrpaq/analysis/queries/usage.py``.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rich.console import Console
from rich.table import Table

from mmdet_qrpaq.command_line import (
    add_model_arguments,
    add_output_argument,
    load_package,
    run,
)

NAME = 'query_usage'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Hits per query over a validation set, Gini coefficient and Lorenz '
        'curve, of one model or of several compared.'
    )
    add_model_arguments(parser, score_threshold=0.3, iou_threshold=0.5)
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def render(numbers: dict) -> Table:
    """One row a model."""
    table = Table(title='Gini coefficient of query use')
    table.add_column('model')
    for column in ('matched', 'confident and correct', 'queries without a hit'):
        table.add_column(column, justify='right')
    for row in numbers['models']:
        cells = [
            'no hits' if row[key] is None else f'{row[key]:.3f}'
            for key in ('gini', 'gini_confident')
        ]
        unused = f'{row["unused_queries"]} of {row["num_queries"]}'
        table.add_row(row['name'], *cells, unused)
    return table


def main(argv: list[str] | None = None) -> None:
    """Count, write and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data, check_fraction
    from output import output_files

    from mmdet_qrpaq.analysis.queries.usage import (
        SCHEMA,
        collect_numbers,
        count_query_hits,
        draw_query_usage,
    )
    from mmdet_qrpaq.analysis.trained_detector import read_models
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result

    check_fraction('--score-threshold', args.score_threshold)
    check_fraction('--iou-threshold', args.iou_threshold)
    table, picture = output_files(args.out, NAME, Path(args.checkpoint).parent)
    models = read_models(args)
    for model in models:
        check_data(model.cfg, model.split)
    usages = {
        model.name: count_query_hits(
            model.detector,
            model.dataloader,
            score_threshold=args.score_threshold,
            iou_threshold=args.iou_threshold,
        )
        for model in models
    }
    origin = describe_origin(
        models=[model.origin for model in models], split=args.split
    )
    numbers = collect_numbers(usages)
    write_result(table, NAME, origin, numbers, SCHEMA)
    draw_query_usage(usages).savefig(picture, dpi=160)
    Console(width=None if sys.stdout.isatty() else 100).print(render(numbers))
    print(table, picture, sep='\n')


if __name__ == '__main__':
    run(main)
