#!/usr/bin/env python
"""Make a small COCO-format detection set from images that ship inside packages.

scikit-learn's handwritten digits (classes '0' to '9') are drawn as bright strokes
on dimmed photographs from the scikit-image wheel. Nothing is downloaded. Train and
val share neither a handwritten digit nor a photograph. Every image depends only
on the seed, its split and its number, so the same settings give the same data set.

    OUT/train/*.png  OUT/val/*.png  OUT/annotations/instances_{train,val}.json
    OUT/dataset.json     settings and checksums, by which the data set is recognised
"""

import argparse
import sys
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--out', type=Path, default=Path('data/digits'), help='folder to make')
    add('--num-train', type=int, default=800, help='training images (800)')
    add('--num-val', type=int, default=200, help='validation images (200)')
    add('--size', type=int, default=128, help='side of an image in pixels (128)')
    pair = dict(type=int, nargs=2)
    help_objects = 'digits an image, fewest and most (1 4); fewer where no room is left'
    add('--objects', **pair, default=[1, 4], metavar=('MIN', 'MAX'), help=help_objects)
    help_size = 'height of a digit in pixels, smallest and largest (28 64)'
    add(
        '--digit-size', **pair, default=[28, 64], metavar=('MIN', 'MAX'), help=help_size
    )
    add('--seed', type=int, default=0, help='seed (0)')
    add('--force', action='store_true', help='replace a different data set in OUT')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = vars(parse_args(argv))

    from digit_dataset import make_dataset
    from digit_scenes import DatasetError

    out, force = args.pop('out'), args.pop('force')
    try:
        made = make_dataset(out, args, force=force)
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        reason = f'{error.filename or out}: {error.strerror}'
        print(
            f'--out {out} cannot be written ({reason}); choose another folder.',
            file=sys.stderr,
        )
        return 2
    print(f'{out}: {"made" if made else "already there"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
