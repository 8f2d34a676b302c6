#!/usr/bin/env python
"""Draw loss and AP curves of one training run, or of several compared.

    python tools/analysis/training_curves.py WORK_DIR [WORK_DIR ...] --out FILE.png

Resumed runs are joined.
"""

import argparse
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
if (
    CHECKOUT / 'mmdet_qrpaq' / '__init__.py'
).is_file():  # works without being installed
    sys.path.insert(0, str(CHECKOUT))

from mmdet_qrpaq.analysis.training_curves import (  # noqa: E402
    draw_training_curves,
    read_history,
)
from mmdet_qrpaq.runtime.cli import run  # noqa: E402


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
        ConfigError: A work directory holds no training log.
    """
    args = parse_args(argv)
    histories = {folder.name: read_history(folder) for folder in args.work_dirs}
    out = args.out or args.work_dirs[0] / 'curves.png'
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_training_curves(histories).savefig(out, dpi=160)
    print(out)


if __name__ == '__main__':
    run(main)
