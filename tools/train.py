#!/usr/bin/env python
"""Train a detector: `python tools/train.py CONFIG [--data FOLDER]` (or `mim train`).

Input is checked first; a mistake ends the run with one sentence and exit status 2.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mmdet_qrpaq.command_line import build_parser, load_package, run
from mmdet_qrpaq.data.options import add_data_options, add_training_options


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser('Train a detector.')
    add_data_options(parser)
    add_training_options(parser)
    parser.add_argument(
        '--amp',
        dest='preset',
        action='append_const',
        const='amp',
        help='the same as --preset amp: automatic mixed precision',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a value from the latest one in the work '
        'directory, or from the start if there is none',
    )
    parser.add_argument(
        '--freeze',
        metavar='PARTS',
        help='parts of the model that stay as they are, e.g. backbone,encoder',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train.

    Raises:
        ConfigError: If config, data or checkpoint cannot work.
    """
    args = parse_args(argv)

    load_package()
    from mmdet_qrpaq.data.run import training_config
    from mmdet_qrpaq.errors import ConfigError
    from mmdet_qrpaq.runtime.cli import build_runner
    from mmdet_qrpaq.runtime.preflight import preflight
    from mmdet_qrpaq.runtime.resume import make_repeatable, resolve_resume

    cfg = training_config(args)
    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise ConfigError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in '
                f'{args.config}; add it or leave the flag out.'
            )
        cfg.auto_scale_lr.enable = True
        # mmengine counts the images of one mini-batch, not those of an update.
        updates = cfg.optim_wrapper.get('accumulative_counts', 1)
        cfg.auto_scale_lr.base_batch_size /= updates
    if args.freeze:
        cfg.model.frozen_parts = args.freeze.split(',')
    resolve_resume(cfg, args.resume)
    make_repeatable(cfg)
    preflight(cfg, ('train', 'val'))
    build_runner(cfg).train()


if __name__ == '__main__':
    run(main)
