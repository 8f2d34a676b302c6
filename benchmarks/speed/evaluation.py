#!/usr/bin/env python
"""Time the evaluation of a validation of COCO's size, and what the report adds to it.

Writes benchmarks/results/evaluation_speed.json. Protocol:

- Ground truth and detections are made here, from one seed: 5,000 images, 36,781 objects
  of 80 classes, 1 in 80 of them a crowd, and 100 detections an image: objects with a
  moved box, some of another class, and boxes anywhere.
- `CocoMetric` is mmdet's evaluation as the end of a validation runs it, from results in
  memory to its numbers, and `FastCocoMetric` ours. `pycocotools` and `hotcoco` are what
  the matching alone takes: boxes at ten IoUs and four ranges of area, accumulated and
  summarised; their AP is the same to the last bit, or there is no result. `report` is
  what `--report` adds: grading and four sections, without writing their figures.
- In one process, in turn, the order changing from round to round, after one round that
  does not count. Seconds are those of the clock.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from mmdet_qrpaq.command_line import count, load_package, new_parser, run
from mmdet_qrpaq.records.provenance import describe_environment


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = new_parser(__doc__)
    parser.add_argument('--images', type=count, default=5000, metavar='N')
    parser.add_argument('--objects', type=count, default=36_781, metavar='N')
    parser.add_argument('--detections', type=count, default=100, metavar='AN_IMAGE')
    parser.add_argument('--repeats', type=count, default=5)
    parser.add_argument('--out', type=Path, help='the result, a .json file')
    args = parser.parse_args(argv)
    args.out = recording.out_path(parser, args.out, 'evaluation_speed')
    return args


def measure(
    ways: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Return seconds of each way, in turn, and after a round that does not count."""
    seconds = {way: [] for way in ways}
    names = list(ways)
    for number in range(repeats + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
        print(f'round {number} of {repeats}', flush=True)
    return {name: runs[1:] for name, runs in seconds.items()}


def main(argv: list[str] | None = None) -> None:
    """Make the data, measure each way and write the result."""
    args = parse(argv)

    load_package()
    import numpy as np

    from benchmarks.speed.evaluation_ways import make_data, ways_of

    environment = describe_environment('cpu')
    data = make_data(args.images, args.objects, args.detections)
    ways, ap = ways_of(data)
    measured = {}
    for way, seconds in measure(ways, args.repeats).items():
        low, median, high = np.percentile(seconds, [25, 50, 75]).tolist()
        measured[way] = dict(seconds=seconds, median=median, quartiles=[low, high])
        print(f'{way}: {median:.2f} s ({low:.2f} to {high:.2f})')
    settings = dict(
        images=args.images,
        objects=args.objects,
        detections_an_image=args.detections,
        repeats=args.repeats,
        ap=ap,
        protocol=__doc__.partition('Protocol:')[2].strip(),
    )
    recording.write(args.out, 'evaluation_speed', environment, settings, measured)
    print(f'written: {args.out}')


if __name__ == '__main__':
    run(main)
