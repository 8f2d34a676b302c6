"""Print parameters and FLOPs of a detector for one image, by stage, on the CPU.

    python tools/model/complexity.py configs/paq_dino_r50_12e.py \\
        --baseline mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py

Deformable attention is counted; nothing is downloaded. What is counted, and how, is
told by `mmdet_qrpaq/analysis/cost/complexity.py`.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import add_config_options, load_package, new_parser, run
from mmdet_qrpaq.records.tables import Table, print_table

if TYPE_CHECKING:
    from mmdet_qrpaq.analysis.cost.complexity import Complexity

CONVENTION = (
    '1 multiply-accumulate (MAC) = 2 FLOPs; papers often print MACs as FLOPs. '
    'Element-wise work is not counted.'
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        'config', help='config file, or package::path such as mmdet::dino/NAME.py'
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=(800, 1333),
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the image in pixels (800 1333)',
    )
    parser.add_argument(
        '--baseline', metavar='CONFIG', help='a second config, without --cfg-options'
    )
    add_config_options(parser)
    parser.add_argument('--out', type=Path, metavar='JSON', help='also write this file')
    return parser.parse_args()


def relative(value: int, base: int) -> float | None:
    """Return the difference in percent; None where the base has nothing."""
    return 100 * (value - base) / base if base else None


def tabulate(caption: str, models: 'list[Complexity]') -> Table:
    """Return a table with a row a stage, and the total.

    Args:
        models: One; or two, which then are compared.
    """
    columns = ['stage']
    for unit in ('params M', 'GFLOPs'):
        columns += [unit, 'baseline', 'difference', '%'][: 4 if models[1:] else 1]

    def row(name: str, *counts: list[int]) -> list[str]:
        cells = [name]
        for values, unit in zip(counts, (1e6, 1e9), strict=True):
            cells += [f'{value / unit:.3f}' for value in values]
            if models[1:]:
                percent = relative(*values)
                cells.append(f'{(values[0] - values[1]) / unit:+.3f}')
                cells.append('-' if percent is None else f'{percent:+.2f}')
        return cells

    rows = []
    for stage in dict.fromkeys(s for m in models for s in [*m.params, *m.flops]):
        counts = ([m.params.get(stage, 0), m.flops.get(stage, 0)] for m in models)
        rows.append(row(stage, *map(list, zip(*counts, strict=True))))
    params = [model.total_params for model in models]
    flops = [model.total_flops for model in models]
    macs = ', '.join(f'{total / 2e9:.2f}' for total in flops)
    notes = (f'GMACs in the same order: {macs}.', CONVENTION)
    return Table(caption, columns, [*rows, row('total', params, flops)], notes=notes)


def main() -> None:
    """Count, print and, if asked, write."""
    args = parse_args()
    load_package()

    from rich.progress import track

    from mmdet_qrpaq.analysis.cost.complexity import detector_complexity
    from mmdet_qrpaq.records.results import check_writable, write_json
    from mmdet_qrpaq.runtime.configs import read_config
    from mmdet_qrpaq.settings.options import parse_settings

    if args.out:
        check_writable(args.out, '.json')
    # Read both first: a wrong name of the second is told before the first runs.
    configs = [read_config(args.config, parse_settings(args.cfg_options))]
    caption = f'{args.config} at {args.shape[0]} x {args.shape[1]}'
    if args.baseline:
        configs.append(read_config(args.baseline))
        caption += f'; baseline: {args.baseline}'
    shape = tuple(args.shape)
    models = [
        detector_complexity(config, shape)
        for config in track(configs, 'counting, some 5 s each')
    ]
    print_table(tabulate(caption, models))
    if args.out is None:
        return
    ours, base = models[0], models[-1]
    report = {'shape': shape, 'convention': CONVENTION}
    report['model'] = {'config': args.config, **ours.as_dict()}
    if args.baseline:
        report['baseline'] = {'config': args.baseline, **base.as_dict()}
        report['difference'] = {}
        for key in ('params', 'flops'):
            pair = report['model'][key], report['baseline'][key]
            report['difference'] |= {
                key: pair[0] - pair[1],
                f'{key}_percent': relative(*pair),
            }
    print(f'written: {write_json(args.out, report)}')


if __name__ == '__main__':
    run(main)
