#!/usr/bin/env python
"""Make a checkpoint to start from: a config's methods where a trained host stopped.

    python tools/model/convert.py CONFIG DINO.pth --out START.pth
    python tools/train.py CONFIG --cfg-options load_from=START.pth

CHECKPOINT is of the config's host, mmdet's own or one of ours. Routers let all queries
enter; patterns are fitted to the host's content; class layers go by name. What is exact
and what is not is printed, and told in docs/warm-start.md.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import add_config_options, load_package, new_parser, run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument('config', help='config file to train with')
    parser.add_argument('checkpoint', help="checkpoint of the config's host (.pth)")
    parser.add_argument(
        '--out', type=Path, required=True, help='file to write (.pth); must not exist'
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help="names of the checkpoint's classes in their order, where it does not tell "
        'them or calls them otherwise than the config',
    )
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Convert, write, and say what was done.

    Raises:
        ConfigError: If config and checkpoint do not fit or the result cannot be
            written.
    """
    args = parse_args(argv)

    load_package()

    from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
    from mmdet_qrpaq.runtime.configs import read_config
    from mmdet_qrpaq.runtime.publishing import require_new, write
    from mmdet_qrpaq.settings.options import parse_settings
    from mmdet_qrpaq.warm_start.conversion import convert

    require_new(args.out, '--out')
    cfg = read_config(args.config, parse_settings(args.cfg_options))
    checkpoint = read_checkpoint(args.checkpoint)
    converted, notes = convert(cfg, checkpoint, args.checkpoint, args.classes)
    write(converted, args.out)
    print('\n'.join(notes))
    print(f'written: {args.out}; start with --cfg-options load_from={args.out}')


if __name__ == '__main__':
    run(main)
