"""Print parameters and FLOPs of a DETR config, deformable attention counted.

    python tools/model/complexity.py configs/paq_dino_r50_12e.py \\
        --baseline mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py

What is counted, and how, is told by ``mmdet_qrpaq/analysis/cost/complexity.py``.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rich.console import Console
from rich.table import Table

from mmdet_qrpaq.command_line import add_config_options, load_package, run

if TYPE_CHECKING:
    from mmdet_qrpaq.analysis.cost.complexity import Complexity

CONVENTION = (
    '1 multiply-accumulate (MAC) = 2 FLOPs; papers often print MACs as FLOPs. '
    'Element-wise work is not counted.'
)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description='Parameters and FLOPs of a detector for one picture, by stage, '
        'deformable attention counted. Runs on the CPU; downloads nothing.',
        epilog=CONVENTION,
    )
    parser.add_argument(
        'config', help='config file, or package::path such as mmdet::dino/NAME.py'
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=(800, 1333),
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the picture in pixels (default: 800 1333)',
    )
    parser.add_argument(
        '--baseline', metavar='CONFIG', help='a second config, without --cfg-options'
    )
    add_config_options(parser)
    parser.add_argument('--out', type=Path, metavar='JSON', help='also write this file')
    return parser.parse_args()


def relative(value: int, base: int) -> float | None:
    """Difference in percent; None where the base has nothing."""
    return 100 * (value - base) / base if base else None


def comparison(ours: 'Complexity', base: 'Complexity') -> dict[str, float | None]:
    """Absolute and relative difference of the totals."""
    return {
        'params': ours.total_params - base.total_params,
        'params_percent': relative(ours.total_params, base.total_params),
        'flops': ours.total_flops - base.total_flops,
        'flops_percent': relative(ours.total_flops, base.total_flops),
    }


def render(ours: 'Complexity', base: 'Complexity | None') -> Table:
    """One row for each stage, one for the total; four columns a unit if compared."""
    table = Table()
    table.add_column('stage', no_wrap=True)
    for unit in ('params M', 'GFLOPs'):
        more = () if base is None else ('baseline', 'difference', '%')
        for column in (unit, *more):
            table.add_column(column, justify='right')

    def add(name: str, *counts: list[int], style: str | None = None) -> None:
        """``counts``: ours and perhaps the baseline's, for parameters and FLOPs."""
        cells = []
        for pair, unit in zip(counts, (1e6, 1e9), strict=True):
            cells += [f'{value / unit:.3f}' for value in pair]
            if base is not None:
                percent = relative(*pair)
                cells.append(f'{(pair[0] - pair[1]) / unit:+.3f}')
                cells.append('-' if percent is None else f'{percent:+.2f}')
        table.add_row(name, *cells, style=style)

    models = [ours] if base is None else [ours, base]
    for stage in dict.fromkeys(s for m in models for s in [*m.params, *m.flops]):
        add(
            stage,
            [m.params.get(stage, 0) for m in models],
            [m.flops.get(stage, 0) for m in models],
        )
    table.add_section()
    add(
        'total',
        [m.total_params for m in models],
        [m.total_flops for m in models],
        style='bold',
    )
    return table


def main() -> None:
    """Counts, prints and, if asked, writes."""
    args = parse_args()

    load_package()

    from mmdet_qrpaq.analysis.cost.complexity import detector_complexity
    from mmdet_qrpaq.errors import ConfigError
    from mmdet_qrpaq.records.results import require_writable_folder, write_json
    from mmdet_qrpaq.runtime.configs import parse_settings, read_config

    shape = tuple(args.shape)
    if args.out:
        if args.out.suffix != '.json':
            raise ConfigError(f'--out {args.out} does not end in .json; add that.')
        require_writable_folder(str(args.out.absolute().parent), '--out')
    # Piped output has no width of its own; a table must not wrap there.
    console = Console(width=None if sys.stdout.isatty() else 120)
    # Read both first: a wrong name of the second is told before the first runs.
    configs = {args.config: read_config(args.config, parse_settings(args.cfg_options))}
    if args.baseline:
        configs['baseline'] = read_config(args.baseline)
    counted = []
    with console.status(f'counting {shape[0]} x {shape[1]} on the CPU, some 5 s each'):
        for config in configs.values():
            counted.append(detector_complexity(config, shape))
    ours, base = counted[0], counted[1] if args.baseline else None

    console.print(f'{args.config} at {shape[0]} x {shape[1]}', highlight=False)
    if base is not None:
        console.print(f'baseline: {args.baseline}', highlight=False)
    console.print(render(ours, base))
    macs = ', '.join(f'{model.total_flops / 2e9:.2f}' for model in counted)
    console.print(f'GMACs in the same order: {macs}.', highlight=False)
    console.print(CONVENTION, highlight=False)

    if args.out:
        report = {'shape': shape, 'convention': CONVENTION}
        report['model'] = {'config': args.config, **ours.as_dict()}
        if base is not None:
            report['baseline'] = {'config': args.baseline, **base.as_dict()}
            report['difference'] = comparison(ours, base)
        write_json(args.out, report)
        console.print(f'written: {args.out}', highlight=False)


if __name__ == '__main__':
    run(main)
