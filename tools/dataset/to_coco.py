#!/usr/bin/env python
"""Convert annotations in VOC XML, YOLO text or labelme JSON to one COCO file.

One annotation file belongs to each image; an annotated image without objects is
kept. Train and val are converted one after the other, with the same --classes.
Anything broken ends the run with its file and place, unless --skip-broken is given.

    python tools/dataset/to_coco.py voc data/mine/Annotations \\
        --images data/mine/train --out data/mine/annotations/instances_train.json
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import new_parser, run
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.formats.data_file import NEAR_LABELS, find_data_file, parse_classes
from mmdet_qrpaq.formats.document import Report, convert, sources_below, write
from mmdet_qrpaq.formats.images import ImageFolder
from mmdet_qrpaq.formats.labelme import Labelme
from mmdet_qrpaq.formats.listing import Listing
from mmdet_qrpaq.formats.voc import Voc
from mmdet_qrpaq.formats.yolo import Yolo, all_turned

FORMATS = ('voc', 'yolo', 'labelme')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add('format', choices=FORMATS, help='format of the annotations')
    add('annotations', type=Path, help='folder with the annotation files')
    add('--images', type=Path, required=True, help='folder with the images')
    add('--out', type=Path, required=True, help='COCO file to write; must not exist')
    add(
        '--classes',
        metavar='a,b,c|FILE',
        help='class names in the order of their ids, between commas or in a file (one '
        'a line, or a data.yaml); default: data.yaml or classes.txt near YOLO labels, '
        'otherwise all names found, sorted',
    )
    add(
        '--skip-broken',
        action='store_true',
        help='leave out broken objects, files and images, and count them',
    )
    return parser.parse_args(argv)


def convert_folder(args: argparse.Namespace) -> tuple[dict, Report]:
    """Convert.

    Raises:
        ConfigError: An option or an annotation file cannot work.
    """
    for place in (args.annotations, args.images):
        if not place.is_dir():
            raise ConfigError(f'{place} is no folder; correct its path.')
    _require_absent(args.out)
    classes = parse_classes(args.classes) if args.classes is not None else None
    if args.format == 'yolo':
        data = find_data_file(args.annotations)
        classes = classes or (data and data.classes)
        if classes is None:
            raise ConfigError(
                f'{args.annotations} holds neither {" nor ".join(NEAR_LABELS)}, nor do '
                'the two folders above it; name the classes with --classes.'
            )
        sources = sources_below(args.annotations, Yolo.suffix)
        turned = all_turned(source.path for source in sources)
        turned |= data is not None and data.turned
        reader = Yolo(classes, data and data.key_points, turned)
    else:
        reader = Voc() if args.format == 'voc' else Labelme()
        sources = sources_below(args.annotations, reader.suffix)
    images = ImageFolder(Listing(args.images))
    report = Report(args.skip_broken)
    document = convert(reader, sources, images, classes, report)
    if not document['categories']:
        raise ConfigError(
            f'{args.annotations} holds no object, so the classes are unknown; name '
            'them with --classes.'
        )
    report.told['images left out, without a sound annotation file'] = len(
        images.names
    ) - len(document['images'])
    return document, report


def _require_absent(out: Path) -> None:
    if out.exists():
        raise ConfigError(f'--out {out} exists; remove it or choose another name.')


def summarise(document: dict, report: Report) -> str:
    """Return what was converted and what was not, as lines."""
    names = {entry['id']: entry['name'] for entry in document['categories']}
    counts = Counter(names[e['category_id']] for e in document['annotations'])
    filled = len({entry['image_id'] for entry in document['annotations']})
    images = len(document['images'])
    lines = [
        f'images    {images} ({images - filled} without objects)',
        f'objects   {len(document["annotations"])}',
        *(f'  {counts[name]:>8}  {name}' for name in names.values()),
    ]
    lines += report.lines()
    lines.append(f'skipped in all: {report.skipped.total()}')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    """Convert, write and say what was found.

    Raises:
        ConfigError: An option or an annotation file cannot work, or the file cannot be
            written.
    """
    args = parse_args(argv)
    document, report = convert_folder(args)
    _require_absent(args.out)
    write(args.out, document)
    print(f'{args.out}: written\n{summarise(document, report)}')


if __name__ == '__main__':
    run(main)
