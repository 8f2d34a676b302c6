#!/usr/bin/env python
"""Test a detector: `python tools/test.py CONFIG CHECKPOINT` (or `mim test`).

Input is checked first; a mistake ends the run with one sentence and exit status 2.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mmdet_qrpaq.command_line import build_parser, load_package, run
from mmdet_qrpaq.data.options import add_data_options

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser('Test a detector.')
    parser.add_argument('checkpoint', help='checkpoint file written by training')
    add_data_options(parser)
    parser.add_argument(
        '--out', metavar='FILE.pkl', help='write the predictions of all images'
    )
    parser.add_argument(
        '--report',
        nargs='?',
        const='',
        metavar='DIR',
        help='write a page of best thresholds, kinds of errors, confusions, '
        'calibration and worst images into this folder (<work-dir>/report), and '
        'thresholds found on validation images beside the checkpoint',
    )
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window'
    )
    parser.add_argument(
        '--show-dir',
        metavar='NAME',
        help='draw predictions into this folder below <work-dir>/<time>/',
    )
    parser.add_argument(
        '--split',
        choices=['val', 'test'],
        default='test',
        help='whose data loader and evaluator of the config to use (test)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test the views of tta_pipeline, merged by tta_model (the image and its '
        'mirror image, merged by NMS)',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds per image with --show'
    )
    return parser.parse_args(argv)


def draw_predictions(cfg: 'Config', args: argparse.Namespace) -> None:
    """Turn on the visualisation hook.

    Raises:
        ConfigError: If the config has none.
    """
    from mmdet_qrpaq.class_name import class_name
    from mmdet_qrpaq.errors import ConfigError

    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ConfigError(
            f'--show and --show-dir need default_hooks.visualization in {args.config}; '
            "add visualization=dict(type='DetVisualizationHook')."
        )
    if class_name(hook.type) == 'DetVisualizationHook':
        hook.type = 'mmdet.AnyDepthVisualizationHook'
    hook.update(
        draw=True, show=args.show, wait_time=args.wait_time, test_out_dir=args.show_dir
    )


def main(argv: list[str] | None = None) -> None:
    """Test.

    Raises:
        ConfigError: If config, data or checkpoint cannot work.
    """
    args = parse_args(argv)

    load_package()
    from mmdet.evaluation import DumpDetResults

    from mmdet_qrpaq.data.run import testing_config
    from mmdet_qrpaq.errors import ConfigError
    from mmdet_qrpaq.runtime.cli import build_runner, require_writable_folder
    from mmdet_qrpaq.runtime.preflight import preflight
    from mmdet_qrpaq.settings.test_time import augment_test

    if args.out:
        if not args.out.endswith(('.pkl', '.pickle')) or Path(args.out).is_dir():
            raise ConfigError(f'--out {args.out} must be a file, *.pkl or *.pickle.')
        require_writable_folder(str(Path(args.out).parent), '--out')
    if args.report is not None and args.tta:
        raise ConfigError(
            '--report is of the model by itself and --tta merges views of an image; '
            'leave one of them out.'
        )
    cfg = testing_config(args)
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    report = None
    if args.report is not None:
        from mmdet_qrpaq.analysis.report.of_test import TestReport

        folder = Path(args.report or Path(cfg.work_dir, 'report'))
        report = TestReport(folder, args.checkpoint, cfg)
    preflight(cfg, ('test',))
    if args.tta:
        augment_test(cfg)
    runner = build_runner(cfg)
    if args.out:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    if report:
        report.watch(runner, args.config)
    runner.test()
    if report:
        report.exit()


if __name__ == '__main__':
    run(main)
