#!/usr/bin/env python
"""Draw loss and AP curves of one training run, or of several compared.

    python tools/analysis/training_curves.py WORK_DIR [WORK_DIR ...] --out FILE.png

Resumed runs are joined.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
from checks import check_picture

from mmdet_qrpaq.analysis.training_curves import (
    draw_training_curves,
    read_history,
)
from mmdet_qrpaq.runtime.cli import run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Loss and AP curves of training runs.')
    parser.add_argument(
        'work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help="a run's --work-dir"
    )
    parser.add_argument(
        '--out', type=Path, help='file to write (curves.png in the first WORK_DIR)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw, write and say where.

    Raises:
        ConfigError: A work directory holds no training log, or --out cannot work.
    """
    args = parse_args(argv)
    out = args.out or args.work_dirs[0] / 'curves.png'
    check_picture(out)
    names = [folder.name for folder in args.work_dirs]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in args.work_dirs]
    histories = dict(zip(names, map(read_history, args.work_dirs), strict=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_training_curves(histories).savefig(out, dpi=160)
    print(out)


if __name__ == '__main__':
    run(main)
