#!/usr/bin/env python
"""Strip a checkpoint to what testing and fine-tuning need.

    python tools/model/publish.py work_dirs/NAME/epoch_12.pth NAME.pth

Dropped: optimizer and scheduler state, the log history, what only training needs (exit
heads of query routing, extra queries of a hybrid branch), and everything in `meta` but
config, classes and position; the best thresholds that tools/test.py --report has left
beside it are added. Of a checkpoint with averaged weights (EMAHook) the
averaged ones are kept, which is what validation has measured: they are its state_dict
already; the raw ones go. Training cannot be resumed from the result.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import load_package, new_parser, run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument('checkpoint', help='checkpoint written by training (.pth)')
    parser.add_argument('out', type=Path, help='file to write; must not exist')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Strip, write, and say what was done.

    Raises:
        ConfigError: If the checkpoint cannot be read or the result not be written.
    """
    args = parse_args(argv)

    load_package()

    import msgspec

    from mmdet_qrpaq import operating_points
    from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
    from mmdet_qrpaq.runtime.publishing import (
        POINTS,
        part_of,
        require_new,
        strip,
        write,
    )

    require_new(args.out, 'OUT')
    checkpoint = read_checkpoint(args.checkpoint)
    if 'state_dict' not in checkpoint:  # bare weights
        checkpoint = dict(state_dict=checkpoint)
    published, unused = strip(checkpoint, args.checkpoint)
    if points := operating_points.read(args.checkpoint):
        published['meta'][POINTS] = msgspec.to_builtins(points)
    write(published, args.out)
    dropped = sorted(checkpoint.keys() - published.keys())
    for part, number in Counter(map(part_of, unused)).items():
        dropped.append(f'{part} ({number} {"entry" if number == 1 else "entries"})')
    print(f'dropped: {", ".join(dropped) or "nothing"}')
    if points:
        print('kept: the best threshold of each class, for tools/predict.py')
    if 'ema_state_dict' in checkpoint:
        print('kept: the averaged weights (EMA), which state_dict holds')
    paths = [Path(args.checkpoint), args.out]
    sizes = [f'{p.stat().st_size / 1e6:.1f} MB' for p in paths if p.is_file()]
    print(f'{args.out}: {" -> ".join(sizes)}')


if __name__ == '__main__':
    run(main)
