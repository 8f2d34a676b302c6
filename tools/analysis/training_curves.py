#!/usr/bin/env python
"""Draw loss and AP curves of one training run, or of several compared.

    python tools/analysis/training_curves.py WORK_DIR [WORK_DIR ...] --out FILE.json
    python tools/analysis/training_curves.py A B C D --names host host ours ours

Resumed runs are joined. Runs with one name (other seeds) become their mean and range.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import add_output_argument, load_package, run

NAME = 'curves'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Loss and AP curves of training runs.')
    parser.add_argument(
        'work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help="a run's --work-dir"
    )
    parser.add_argument(
        '--names',
        nargs='+',
        metavar='NAME',
        help="one for each WORK_DIR (the folders' names); the same for several: their "
        'mean and range',
    )
    add_output_argument(parser, NAME, place='in the first WORK_DIR')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw, write and say where.

    Raises:
        ConfigError: A work directory holds no training log, or --out cannot work.
    """
    args = parse_args(argv)

    load_package()
    from output import output_files

    from mmdet_qrpaq.analysis.training.curves import (
        SCHEMA,
        collect_numbers,
        draw_training_curves,
        read_history,
    )
    from mmdet_qrpaq.errors import ConfigError
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result

    table, picture = output_files(args.out, NAME, args.work_dirs[0])
    names = args.names or name_apart(args.work_dirs)
    if len(names) != len(args.work_dirs):
        raise ConfigError(
            f'--names gives {len(names)} names for {len(args.work_dirs)} work '
            'directories; give one for each.'
        )
    histories = map(read_history, args.work_dirs)
    runs = list(zip(names, histories, strict=True))
    numbers = collect_numbers(runs, args.work_dirs)
    origin = describe_origin(work_dirs=[str(folder) for folder in args.work_dirs])
    write_result(table, NAME, origin, numbers, SCHEMA)
    draw_training_curves(runs).savefig(picture, dpi=160)
    for row in numbers['groups']:
        best = '-' if row['best_AP'] is None else f'{row["best_AP"]:.3f}'
        print(f'{row["name"]}, {row["num_runs"]} runs: best mean AP {best}')
    print(table, picture, sep='\n')


def name_apart(work_dirs: list[Path]) -> list[str]:
    """Return the folders' names, or whole paths where two have one name."""
    names = [folder.name for folder in work_dirs]
    return names if len(set(names)) == len(names) else [str(f) for f in work_dirs]


if __name__ == '__main__':
    run(main)
