#!/usr/bin/env python
"""Measure what detectors cost on real pictures, and compare them with the first one.

    python tools/analysis/efficiency.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/efficiency.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT --batch-sizes 1 4

Parameters, FLOPs (deformable attention and routing counted), memory and time, whole and
by stage, of any DETR of MMDetection. ``none`` in place of a checkpoint is a model with
random weights: good for all that does not depend on what queries have learned. How it
is measured is told by ``mmdet_qrpaq/analysis/cost/efficiency.py``.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mmdet_qrpaq.command_line import (
    add_model_arguments,
    add_output_argument,
    load_package,
    run,
)

if TYPE_CHECKING:
    from torch import nn

    from mmdet_qrpaq.analysis.trained_detector import TrainedModel

NAME = 'efficiency'
UNTRAINED = 'none'
CONVENTION = (
    'FLOPs: 2 for each multiply-accumulate, mean and standard deviation over the '
    'pictures; papers often print half of it, MACs, under that name.'
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument(
        '--num-pictures',
        type=int,
        default=8,
        help='pictures, spread over the data set of the first config (8)',
    )
    parser.add_argument(
        '--batch-sizes',
        type=int,
        nargs='+',
        default=[1],
        metavar='N',
        help='pictures in a batch whose time is taken (1)',
    )
    parser.add_argument(
        '--repeats', type=int, default=20, help='timed batches of each size (20)'
    )
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def load(model: 'TrainedModel') -> 'nn.Module':
    """The trained detector, or one with random weights if so asked for."""
    if model.checkpoint != UNTRAINED:
        return model.detector

    import torch
    from mmengine.model import revert_sync_batchnorm

    from mmdet_qrpaq.runtime.building import build_untrained

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    return revert_sync_batchnorm(build_untrained(model.cfg)).to(device).eval()


def render(numbers: dict) -> Table:
    """One row a model and batch size; ratios to the first model in brackets."""
    table = Table(title='(in brackets: times the first model)')
    table.add_column('model')
    for column in ('params M', 'GFLOPs', 'batch', 'memory MB', 'p50 ms', 'p95 ms'):
        table.add_column(column, justify='right')
    for model in numbers['models']:
        flops, ratios = model['flops'], model['ratios']
        cells = [
            model['name'],
            f'{model["params"] / 1e6:.2f} ({ratios["params"]:.3f})',
            f'{flops["mean"] / 1e9:.4g} ± {flops["std"] / 1e9:.2g} '
            f'({ratios["flops"]:.3f})',
        ]
        for batch, ratio in zip(model['batches'], ratios['batches'], strict=True):
            memory = ratio['peak_bytes']
            table.add_row(
                *cells,
                str(batch['batch_size']),
                f'{batch["peak_bytes"] / 1e6:.1f}'
                + ('' if memory is None else f' ({memory:.3f})'),
                f'{1000 * batch["p50"]:.4g} ({ratio["seconds"]["median"]:.3f})',
                f'{1000 * batch["p95"]:.4g}',
            )
            cells = ['', '', '']
    return table


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data
    from output import output_files

    from mmdet_qrpaq.analysis.cost.efficiency import measure_efficiency, steps
    from mmdet_qrpaq.analysis.cost.efficiency_figure import draw_efficiency
    from mmdet_qrpaq.analysis.cost.efficiency_result import SCHEMA
    from mmdet_qrpaq.analysis.trained_detector import read_models
    from mmdet_qrpaq.records.provenance import describe_origin, device_name
    from mmdet_qrpaq.records.results import write_result

    folder = Path('.') if args.checkpoint == UNTRAINED else Path(args.checkpoint).parent
    table, picture = output_files(args.out, NAME, folder)
    models = read_models(args)
    check_data(models[0].cfg, models[0].split)
    dataset = models[0].dataloader.dataset
    detectors = {model.name: load(model) for model in models}
    with Progress() as progress:
        pictures = min(args.num_pictures, len(dataset))
        total = steps(len(models), pictures, len(args.batch_sizes), args.repeats)
        task = progress.add_task('measuring', total=total)
        result = measure_efficiency(
            detectors,
            dataset,
            num_pictures=args.num_pictures,
            batch_sizes=args.batch_sizes,
            repeats=args.repeats,
            hardware=device_name(),
            advance=lambda: progress.advance(task),
        )
    numbers = result.as_dict()
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(render(numbers))
    console.print(CONVENTION, highlight=False)
    origin = describe_origin(
        models=[model.origin for model in models], split=args.split
    )
    print(write_result(table, NAME, origin, numbers, SCHEMA))
    draw_efficiency(result).savefig(picture, dpi=160)
    print(picture)


if __name__ == '__main__':
    run(main)
