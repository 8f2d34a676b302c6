#!/usr/bin/env python
"""Look at a folder of annotated images, and write what is not COCO as COCO files.

COCO, YOLO, Pascal VOC and labelme are found by looking. The folder itself is not
touched. It needs neither torch nor mmdet.

    python tools/dataset/prepare.py data/mine
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import new_parser, run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add('folder', type=Path, help='folder with images and annotations')
    add(
        '--out',
        type=Path,
        metavar='FOLDER',
        help='where to write (work_dirs/<name of the folder>)',
    )
    add(
        '--crowd-as-objects',
        action='store_true',
        help='take objects that COCO files mark iscrowd as objects like any other',
    )
    add(
        '--skip-broken',
        action='store_true',
        help='leave out broken objects, files and images, and count them',
    )
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace) -> 'DataFolder':  # noqa: F821
    """Find, write and say what is in the folder.

    Raises:
        ConfigError: No layout fits, or annotations are broken.
    """
    from mmdet_qrpaq.formats.folder import open_folder

    out = args.out or Path('work_dirs') / args.folder.resolve().name
    data = open_folder(
        args.folder,
        out,
        crowd_as_objects=args.crowd_as_objects,
        skip_broken=args.skip_broken,
    )
    print('\n'.join([*data.notes, *summarise(data)]))
    return data


def summarise(data: 'DataFolder') -> list[str]:  # noqa: F821
    """Return what each split holds, as lines of a table."""
    from mmdet_qrpaq.formats.layouts.coco import read_index

    columns = {'': ['images', 'without objects', 'objects', *data.classes]}
    for split, part in data.splits.items():
        index = read_index(part.ann_file)
        names = {repr(category.id): category.name for category in index.categories}
        counts = Counter(names.get(repr(e.category_id)) for e in index.annotations)
        filled = {repr(entry.image_id) for entry in index.annotations}
        bare = sum(repr(image.id) not in filled for image in index.images)
        numbers = [len(index.images), bare, len(index.annotations)]
        columns[split] = [*numbers, *(counts[name] for name in data.classes)]
    width = max(map(len, columns['']))
    lines = [' ' * width + ''.join(f'{split:>9}' for split in data.splits)]
    for name, *counts in zip(*columns.values(), strict=True):
        lines.append(f'{name:{width}}' + ''.join(f'{count:>9}' for count in counts))
    places = [f'{split}: {part.ann_file}' for split, part in data.splits.items()]
    return ['', *lines, '', *places]


def main(argv: list[str] | None = None) -> None:
    """Prepare a folder.

    Raises:
        ConfigError: No layout fits, or annotations are broken.
    """
    prepare(parse_args(argv))


if __name__ == '__main__':
    run(main)
