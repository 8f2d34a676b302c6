#!/usr/bin/env python
r"""Train several configs, or one with several values of a setting, and compare them.

    python tools/sweep.py configs/dino_r50_12e.py configs/paq_dino_r50_12e.py \
        --seeds 0 1 2 --gpus 4
    python tools/sweep.py configs/paq_dino_r50_12e.py \
        --grid model.pattern_query.num_patterns 50 100 150 --data data/mine --small

Each run is a process of tools/train.py with a folder of its own, on this machine or,
with --executor slurm --slurm time=MINUTES, on a cluster. Leaves one JSON a run,
table.md and curves.png in --work-dir. Stop it at any time: the same command goes on,
and does not repeat what is recorded. A failing run leaves the others alone; the exit
status is 1 then. docs/sweeps.md has the commands of the papers' tables.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mmdet_qrpaq.command_line import add_config_options, load_package, new_parser, run
from mmdet_qrpaq.sweeps.options import add_sweep_options


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='config files; the others are compared with the first',
    )
    parser.add_argument(
        '--grid',
        nargs='+',
        metavar=('KEY', 'VALUE'),
        help='a setting and its values; every config is trained with each of them',
    )
    add_sweep_options(parser)
    parser.add_argument(
        '--small',
        action='store_true',
        help='scale the leaf down: ResNet-18 from scratch, 1 + 3 layers, 100 queries, '
        '256 pixels, batch of 8 (configs/_base_/small.py)',
    )
    add_config_options(parser)
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/sweep'),
        help='folder for runs, records, table and figure (work_dirs/sweep)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Plan, run, sum up.

    Raises:
        ConfigError: Configs, options, data or work folder cannot work.
    """
    args = parse_args(argv)

    load_package()
    from mmdet_qrpaq.data.plan import tell
    from mmdet_qrpaq.data.run import open_data
    from mmdet_qrpaq.settings.options import parse_settings
    from mmdet_qrpaq.sweeps.execution import run_sweep
    from mmdet_qrpaq.sweeps.plan import plan_sweep
    from mmdet_qrpaq.sweeps.scale import Scale

    options = parse_settings(args.cfg_options)
    data = open_data(args, args.work_dir) if args.data else None
    runs = plan_sweep(
        args.configs, args.seeds, Scale.of(args), data, options, args.grid
    )
    for planned in runs if data else ():
        if planned.seed == args.seeds[0]:
            tell(planned.variant, planned.decided)
    run_sweep(runs, args, records=args.work_dir, summary=args.work_dir)
    print((args.work_dir / 'table.md').read_text())
    print(args.work_dir / 'table.md', args.work_dir / 'curves.png', sep='\n')


if __name__ == '__main__':
    run(main)
