#!/usr/bin/env python
"""Time the reading and checking of a COCO file before a training, and its memory.

Writes benchmarks/results/annotations_speed.json. Protocol:

- The file is made here: images of 640 x 480 pixels, objects with one polygon each, of
  6 to 41 corners; with 118,000 images and 860,000 objects it has the size of COCO's
  own, about 406 MB. Every image is there, as a link to one of a few files.
- `checks` is what a run does before its first step: it reads the file, looks through
  it for each kind of fault, for names and lengths of all images and for the headers of
  200. `checks and masks` looks at each polygon as well, which a run with masks needs.
  `pycocotools` is `COCO(file)`, which a run does anyway.
- Each way in a process of its own, in turn. Seconds are those of the clock and of the
  processor. Memory is the most that the process ever held, above what it held when all
  was imported.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import track

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from benchmarks.speed.annotations_reading import WAYS, write_data
from mmdet_qrpaq.command_line import count, load_package, new_parser, run
from mmdet_qrpaq.records.provenance import ROOT, describe_environment

# The package without torch, which takes memory of its own.
READ = """
__arguments_first__ = True
from benchmarks.speed.annotations_reading import main
main()
"""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = new_parser(__doc__)
    parser.add_argument('--images', type=count, default=118_000, metavar='N')
    parser.add_argument('--objects', type=count, default=860_000, metavar='N')
    parser.add_argument('--repeats', type=count, default=3)
    parser.add_argument('--out', type=Path, help='the result, a .json file')
    args = parser.parse_args(argv)
    args.out = recording.out_path(parser, args.out, 'annotations_speed')
    return args


def measure(way: str, folder: Path) -> dict[str, float]:
    """Return seconds and bytes of one way, in a process of its own."""
    done = subprocess.run(
        [sys.executable, '-c', READ, way, str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: list[str] | None = None) -> None:
    """Make the data, measure each way and write the result."""
    args = parse(argv)

    load_package()
    environment = describe_environment('cpu')
    with TemporaryDirectory() as folder:
        size = write_data(Path(folder), args.images, args.objects)
        runs = {way: [] for way in WAYS}
        for _ in track(range(args.repeats), 'reading'):
            for way, measured in runs.items():
                measured.append(measure(way, Path(folder)))
    settings = dict(
        images=args.images,
        objects=args.objects,
        file_bytes=size,
        repeats=args.repeats,
        protocol=__doc__.partition('Protocol:')[2].strip(),
    )
    recording.write(args.out, 'annotations_speed', environment, settings, runs)
    print(f'written: {args.out}')


if __name__ == '__main__':
    run(main)
