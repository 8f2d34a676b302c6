#!/usr/bin/env python
"""Convert annotations in VOC XML, YOLO text or labelme JSON to one COCO file.

One annotation file belongs to each image; an annotated image without objects is
kept. Train and val are converted one after the other, with the same --classes.
Anything broken ends the run with its file and place, unless --skip-broken is given.

    python tools/dataset/to_coco.py voc data/mine/Annotations \\
        --images data/mine/train --out data/mine/annotations/instances_train.json
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from coco_conversion.class_names import parse_classes
from coco_conversion.document import Report, convert
from coco_conversion.images import ImageFolder
from coco_conversion.labelme import Labelme
from coco_conversion.shapes import ConversionError
from coco_conversion.voc import Voc
from coco_conversion.yolo import Yolo, find_classes

FORMATS = ('voc', 'yolo', 'labelme')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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


def run(args: argparse.Namespace) -> tuple[dict, Report]:
    """Convert and write.

    Raises:
        ConversionError: An option or an annotation file cannot work.
        OSError: The file cannot be written.
    """
    for place in (args.annotations, args.images):
        if not place.is_dir():
            raise ConversionError(f'{place} is no folder; correct its path.')
    _require_absent(args.out)
    classes = parse_classes(args.classes) if args.classes is not None else None
    if args.format == 'yolo':
        classes = classes or find_classes(args.annotations)
        reader = Yolo(classes)
    else:
        reader = Voc() if args.format == 'voc' else Labelme()
    document, report = convert(
        reader,
        args.annotations,
        ImageFolder(args.images),
        classes,
        skip_broken=args.skip_broken,
    )
    write(args.out, document)
    return document, report


def write(out: Path, document: dict) -> None:
    """Write a file that is either complete or not there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + '.partial')
    try:
        partial.write_text(json.dumps(document) + '\n', encoding='utf-8')
        _require_absent(out)
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)


def _require_absent(out: Path) -> None:
    if out.exists():
        raise ConversionError(f'--out {out} exists; remove it or choose another name.')


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
    notes = (
        ('objects clipped, as they stuck out by at most a pixel', report.clipped),
        ("objects kept though marked 'difficult'", report.difficult),
        ('images left out, without a sound annotation file', report.unannotated),
        ('files that name another image inside; their own was used', report.doubtful),
    )
    lines += [f'{text}: {count}' for text, count in notes if count]
    for reason, count in report.skipped.most_common():
        lines.append(f'skipped, {reason}: {count}, e.g. {report.examples[reason]}')
    lines.append(f'skipped in all: {report.skipped.total()}')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = parse_args(argv)
    try:
        document, report = run(args)
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        reason = f'{error.filename or args.out}: {error.strerror}'
        print(
            f'--out {args.out} cannot be written ({reason}); choose another place.',
            file=sys.stderr,
        )
        return 2
    print(f'{args.out}: written\n{summarise(document, report)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
