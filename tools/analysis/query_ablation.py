#!/usr/bin/env python
"""AP with half the attention and with fewer queries, without retraining (QR Fig. 2).

    python tools/analysis/query_ablation.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/query_ablation.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT --queries 300 150 50

Works on every DETR of MMDetection. What is switched off, and which queries are kept, is
told by ``sublayers.py`` and ``ablation.py`` in ``mmdet_qrpaq/analysis/queries``.
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

NAME = 'query_ablation'
KEEP = ('first', 'used')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='AP of a trained DETR with self-attention only, cross-attention '
        'only and both, and with fewer queries; of one model or of several compared.'
    )
    add_model_arguments(parser)
    parser.add_argument(
        '--queries',
        type=int,
        nargs='+',
        metavar='N',
        help='numbers of queries to keep (1, 5/6, 2/3, 1/2, 1/3 and 1/6 of them)',
    )
    parser.add_argument(
        '--keep',
        choices=KEEP,
        default='first',
        help='which queries: the first ones, on two-stage models the best proposals '
        '(first); or those matched most often on these pictures',
    )
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def render(numbers: dict) -> Table:
    """One row a model and setting."""
    table = Table(title='AP of trained models, not retrained')
    for column in ('model', 'attention'):
        table.add_column(column)
    for column in ('queries', 'AP', 'AP50', 'AP75'):
        table.add_column(column, justify='right')

    def add(name: str, attention: str, queries: int, precision: dict) -> None:
        cells = [f'{100 * precision[key]:.1f}' for key in ('ap', 'ap50', 'ap75')]
        table.add_row(name, attention, str(queries), *cells)

    for model in numbers['models']:
        name, total = model['name'], model['num_queries']
        for kept, precision in model['sublayers'].items():
            add(name, kept, total, precision)
        for row in model['fewer_queries']:
            if row['num_queries'] != total:
                add(name, 'both', row['num_queries'], row['precision'])
        table.add_section()
    return table


def main(argv: list[str] | None = None) -> None:
    """Evaluate, print and write.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data
    from output import output_files

    from mmdet_qrpaq.analysis.queries.ablation import (
        SCHEMA,
        collect_numbers,
        draw,
        measure,
    )
    from mmdet_qrpaq.analysis.trained_detector import read_models
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result

    table, picture = output_files(args.out, NAME, Path(args.checkpoint).parent)
    models = read_models(args)
    for model in models:
        check_data(model.cfg, model.split)
    ablations = {
        model.name: measure(
            model.detector,
            model.dataloader,
            model.cfg.get(f'{model.split}_evaluator'),
            counts=args.queries,
            keep=args.keep,
        )
        for model in models
    }
    origin = describe_origin(
        models=[model.origin for model in models], split=args.split
    )
    numbers = collect_numbers(ablations)
    write_result(table, NAME, origin, numbers, SCHEMA)
    draw(ablations).savefig(picture, dpi=200)
    Console(width=None if sys.stdout.isatty() else 100).print(render(numbers))
    print(table, picture, sep='\n')


if __name__ == '__main__':
    run(main)
