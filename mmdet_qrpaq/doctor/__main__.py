"""Look for what is wrong before it costs a training.

    python -m mmdet_qrpaq.doctor                             # the installation
    python -m mmdet_qrpaq.doctor --data FOLDER               # a folder of images
    python -m mmdet_qrpaq.doctor CONFIG [--data FOLDER]      # a run on it

Opens every image. Exit status: 0 nothing worse than notes, 1 warnings, 2 errors.
"""

import argparse
import json
import sys

__arguments_first__ = True
from ..command_line import add_config_options, new_parser, run
from ..data.options import RunOptions, add_data_options, add_training_options


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.prog = 'python -m mmdet_qrpaq.doctor'
    parser.add_argument('config', nargs='?', help='config file')
    add_data_options(parser)
    add_training_options(parser)
    add_config_options(parser)
    parser.add_argument(
        '--json', action='store_true', help='print the findings as JSON, for scripts'
    )
    args = parser.parse_args(argv)
    if not args.config and (args.cfg_options or RunOptions.of(args) != RunOptions()):
        parser.error('options of a training need a CONFIG')
    return args


def main(argv: list[str] | None = None) -> None:
    """Look, and tell.

    Raises:
        SystemExit: With the status of the worst finding.
    """
    args = parse_args(argv)

    from .environment import describe_installation

    described, findings = describe_installation()
    if not findings:  # else nothing of what follows can be imported
        from .examination import examine_run

        findings = examine_run(args)
    if args.json:
        told = dict(
            environment=described, findings=[found.as_record() for found in findings]
        )
        print(json.dumps(told, indent=1))
    else:
        from .report import show

        show(described, findings)
    sys.exit(max((found.severity for found in findings), default=0))


if __name__ == '__main__':
    run(main)
