"""Annotation files as tools write them, and `tools/dataset/to_coco.py` over them."""

import json
import sys

from PIL import Image

import to_coco
from mmdet_qrpaq.command_line import USER_ERROR
from mmdet_qrpaq.errors import ConfigError

SIZE = (100, 80)
SUFFIX = dict(voc='.xml', yolo='.txt', labelme='.json')


class Workbench:
    """Folders `in` and `images`, with one image, and the command line over them."""

    def __init__(self, root):
        self.root = root
        self.annotations, self.images = root / 'in', root / 'images'
        self.out = root / 'out' / 'coco.json'
        self.annotations.mkdir()
        self.images.mkdir()
        self.image('a.png')

    def image(self, name, size=SIZE, **options):
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', size).save(path, **options)

    def write(self, name, content):
        path = self.annotations / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(
                content if isinstance(content, str) else json.dumps(content)
            )

    def run(self, kind, *options):
        places = ['--images', str(self.images), '--out', str(self.out)]
        return status_of(to_coco.main, [kind, str(self.annotations), *places, *options])

    def convert(self, kind, *options):
        assert self.run(kind, *options) == 0
        return json.loads(self.out.read_text())


def status_of(main, argv):
    """Exit status of a tool; its sentence goes where the tool prints it."""
    try:
        main(argv)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USER_ERROR
    return 0


def voc(*objects, filename='a.png', size=SIZE, extra=''):
    return (
        f'<annotation><folder>x</folder><filename>{filename}</filename>'
        f'<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth>'
        f'</size><segmented>0</segmented>{extra}{"".join(objects)}</annotation>'
    )


def voc_object(box, name='dog', inside=''):
    sides = zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True)
    box = ''.join(f'<{side}>{value}</{side}>' for side, value in sides)
    return (
        f'<object><name>{name}</name><pose>Left</pose>{inside}'
        f'<bndbox>{box}</bndbox></object>'
    )


def labelme(*shapes, image='a.png', size=SIZE, **fields):
    return (
        dict(
            version='5.2.1',
            flags={},
            shapes=list(shapes),
            imagePath=image,
            imageData=None,
            imageWidth=size[0],
            imageHeight=size[1],
        )
        | fields
    )


def shape(points, kind='polygon', label='dog', **fields):
    return dict(label=label, points=points, shape_type=kind, group_id=None) | fields


DOG = voc_object((1, 1, 9, 9))
