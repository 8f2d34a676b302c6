#!/usr/bin/env python
"""Time deformable attention on the CPU: rows of a table against mmcv's way.

Writes benchmarks/results/attention_speed_cpu.json. Protocol:

- One operation, without the linear layers around it: 8 heads of 32 channels, 4 levels,
  4 points. In an encoder every pixel asks, in a decoder `--queries` random places;
  points lie around them, normally distributed with a deviation of two pixels.
- `grid_sample` is mmcv's own, `embedding_bag` what this project's detectors run, and
  `torch's backward` the same without a backward of its own: its value and weights are
  made by operations that torch differentiates.
- All run one after another in each repetition, in an order drawn anew, and each is
  divided by mmcv's of its repetition, so that a slow minute hits all of them.
- A prediction is a call without gradients, training a call and its backward. Memory is
  the most bytes of tensors at a time in training, above what there was before.
- Before anything is timed, outputs must be within 1e-5 and gradients, by norm, within
  1e-6 of mmcv's.
"""

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from mmdet_qrpaq.command_line import load_package, run
from mmdet_qrpaq.records.provenance import describe_environment


def parse() -> argparse.Namespace:
    """Return the command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--sizes',
        type=int,
        nargs='+',
        default=(320, 640),
        metavar='N',
        help='sides of square images, in pixels (default: 320 640)',
    )
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--queries', type=int, default=900, help='of the decoder')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--out', type=Path, help='the result, a .json file')
    args = parser.parse_args()
    if args.repeats < 2:
        parser.error('--repeats must be at least 2 for a spread.')
    if min(*args.sizes, args.batch, args.queries, args.threads) < 1:
        parser.error('--sizes, --batch, --queries and --threads must be positive.')
    args.out = recording.out_path(parser, args.out, 'attention_speed_cpu')
    return args


def main() -> None:
    """Measure each case and write the result."""
    args = parse()

    load_package()
    import torch

    from benchmarks.speed.attention_timing import Case, measure, steps

    torch.set_num_threads(args.threads)
    environment = describe_environment('cpu')
    cases = [
        Case(part, size, args.batch, queries)
        for size in args.sizes
        for part, queries in (('encoder', None), ('decoder', args.queries))
    ]
    measured = []
    with Progress() as progress:
        for case in cases:
            task = progress.add_task(
                f'{case.part}, {case.size} px', total=steps(args.repeats)
            )
            measured.append(
                measure(case, args.repeats, lambda task=task: progress.advance(task))
            )
    settings = dict(
        threads=args.threads,
        batch=args.batch,
        repeats=args.repeats,
        protocol=__doc__.partition('Protocol:')[2].strip(),
    )
    recording.write(args.out, 'attention_speed', environment, settings, measured)
    print(f'written: {args.out}')


if __name__ == '__main__':
    run(main)
