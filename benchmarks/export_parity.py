#!/usr/bin/env python
"""Compare exported detectors with PyTorch: every host, with each method.

Writes benchmarks/results/export_parity.json, a row as soon as it is there; rows that it
has are not made anew, so that a run can be cut off. Protocol:

- Hosts are those of the tests, small and with random weights, whose decisions are the
  closest there are. `upstream` is mmdet's own class.
- Images are the first of the digits for validation, whole and cut, each beside its
  mirror image: two image sizes and a batch of two from one file.
- Decisions of the runtime are imposed on PyTorch, and the largest difference is told;
  then each decides for itself, and the share of decisions that differ is told.
- With --trained, AP of trained detectors on their images for validation, by PyTorch
  and by each runtime.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import recording
from mmdet_qrpaq.command_line import load_package, new_parser, run
from mmdet_qrpaq.records.provenance import ROOT, describe_environment

METHODS = ('qrpaq with capacity', 'upstream', 'paq', 'qr', 'qr with capacity')
WITH_MASKS = ('dino', 'deformable_pp')
IMAGES = 2


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser(__doc__)
    parser.add_argument('--hosts', nargs='+', metavar='NAME', help='these alone (all)')
    parser.add_argument(
        '--methods', nargs='+', metavar='NAME', help='these alone (all)'
    )
    parser.add_argument(
        '--trained',
        nargs=3,
        action='append',
        default=[],
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='also measure the AP of this one; can be repeated',
    )
    parser.add_argument('--out', type=Path, help='the result, a .json file')
    args = parser.parse_args(argv)
    args.out = recording.out_path(parser, args.out, 'export_parity')
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure what is not measured yet."""
    args = parse_args(argv)
    load_package()
    sys.path.insert(0, str(ROOT / 'tests'))
    from benchmarks.export_rows import average_precisions, digits, row
    from tiny_hosts import HOSTS, build_upstream

    environment = describe_environment('cpu')
    measured = dict(rows=[], trained=[])
    if args.out.exists():
        measured = recording.load(args.out.stem)['measured']
    done = {(found['host'], found['method']) for found in measured['rows']}

    def keep() -> None:
        settings = dict(images=IMAGES, weights='random, seed 0')
        recording.write(args.out, 'export_parity', environment, settings, measured)

    for name, config, checkpoint in args.trained:
        measured['trained'] = [
            *(found for found in measured['trained'] if found['name'] != name),
            dict(name=name, **average_precisions(config, checkpoint)),
        ]
        keep()
    images = digits(IMAGES)
    for method in (*METHODS, 'paq with masks'):
        for host in HOSTS:
            unwanted = args.hosts and host not in args.hosts
            if unwanted or args.methods and method not in args.methods:
                continue
            foreign = not type(build_upstream(host)).__module__.startswith('mmdet.')
            if (host, method) in done or (method == 'upstream' and foreign):
                continue
            if method == 'paq with masks' and host not in WITH_MASKS:
                continue
            found = row(host, method, images)
            print(found, flush=True)
            measured['rows'].append(found)
            keep()


if __name__ == '__main__':
    run(main)
