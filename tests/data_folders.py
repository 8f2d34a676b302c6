"""A tiny data set, written as the tools lay it out; every layout holds the same."""

import json
import shutil
from pathlib import Path

from PIL import Image

from annotation_files import labelme, shape, voc, voc_object

CLASSES = ('hex bolt', 'nut', '7')
# Split, size and objects of each image: class and whole pixels x, y, w, h.
IMAGES = {
    'one.png': (
        'train',
        (100, 80),
        [('nut', (10, 20, 20, 40)), ('7', (0, 0, 100, 80))],
    ),
    'two.jpg': ('train', (60, 40), [('hex bolt', (30, 8, 15, 20))]),
    'three.png': ('train', (60, 40), []),
    'four.png': ('train', (40, 60), [('nut', (4, 6, 8, 12))]),
    'five.png': ('val', (100, 80), [('hex bolt', (50, 40, 50, 40))]),
    'six.jpg': ('val', (40, 60), [('7', (4, 6, 8, 12)), ('nut', (0, 30, 40, 3))]),
}
ROBOFLOW = dict(train='train', val='valid')


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def image(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('L', size).save(path)


def images_of(split=None):
    return {
        name: (size, objects)
        for name, (part, size, objects) in IMAGES.items()
        if split in (None, part)
    }


def coco(split=None, classes=CLASSES):
    """A COCO document, as written by hand."""
    images, annotations = [], []
    for name, (size, objects) in images_of(split).items():
        number = len(images) + 1
        images.append(dict(id=number, file_name=name, width=size[0], height=size[1]))
        for label, box in objects:
            entry = dict(id=len(annotations) + 1, image_id=number, bbox=list(box))
            entry |= dict(category_id=classes.index(label) + 1, iscrowd=0)
            annotations.append(entry | dict(area=box[2] * box[3]))
    categories = [dict(id=i, name=name) for i, name in enumerate(classes, 1)]
    return dict(images=images, annotations=annotations, categories=categories)


def rows(size, objects):
    """YOLO's lines."""
    lines = []
    for label, (x, y, w, h) in objects:
        shares = (x + w / 2) / size[0], (y + h / 2) / size[1], w / size[0], h / size[1]
        numbers = ' '.join(f'{share:.6f}' for share in shares)
        lines.append(f'{CLASSES.index(label)} {numbers}\n')
    return ''.join(lines)


def write(root, images, labels, form, split=None):
    """Writes images and annotation files of a split into two folders."""
    for name, (size, objects) in images_of(split).items():
        image(root / images / name, size)
        stem = Path(name).stem
        if form == 'yolo':
            put(root / labels / f'{stem}.txt', rows(size, objects))
        elif form == 'voc':
            boxes = [
                voc_object((x + 1, y + 1, x + w, y + h), label)
                for label, (x, y, w, h) in objects
            ]
            put(root / labels / f'{stem}.xml', voc(*boxes, filename=name, size=size))
        elif form == 'labelme':
            shapes = [
                shape([[x, y], [x + w, y + h]], 'rectangle', label)
                for label, (x, y, w, h) in objects
            ]
            put(root / labels / f'{stem}.json', labelme(*shapes, image=name, size=size))


def coco_mmdet(root):
    for split in ('train', 'val'):
        write(root, split, '', 'none', split)
        put(root / f'annotations/instances_{split}.json', coco(split))


def coco_one_folder_of_images(root):
    write(root, 'images', '', 'none')
    for split in ('train', 'val'):
        put(root / f'instances_{split}.json', coco(split))


def coco_2017(root):
    for split in ('train', 'val'):
        write(root, f'{split}2017', '', 'none', split)
        put(root / f'annotations/instances_{split}2017.json', coco(split))
        put(root / f'annotations/person_keypoints_{split}2017.json', coco(split))
        put(root / f'annotations/captions_{split}2017.json', dict(images=[]))


def coco_roboflow(root):
    for split, name in ROBOFLOW.items():
        write(root, name, '', 'none', split)
        document = coco(split)
        group = dict(id=0, name='things', supercategory='none')
        for category in document['categories']:
            category['supercategory'] = 'things'
        document['categories'].insert(0, group)
        put(root / name / '_annotations.coco.json', document)


def coco_cvat(root):
    write(root, 'images/default', '', 'none')
    put(root / 'annotations/instances_default.json', coco())


def yolo_ultralytics(root):
    for split in ('train', 'val'):
        write(root, f'images/{split}', f'labels/{split}', 'yolo', split)
    put(
        root / 'data.yaml',
        'path: ../datasets/mine\ntrain: images/train\nval: images/val\ntest:\n'
        'names:\n  0: hex bolt\n  1: nut\n  2: 7\n',
    )


def yolo_lists(root):
    """As Ultralytics' own coco.yaml: a list of images a split."""
    write(root, 'images', 'labels', 'yolo')
    for split in ('train', 'val'):
        put(root / f'{split}.txt', '\n'.join(f'./images/{n}' for n in images_of(split)))
    names = 'names: [hex bolt, nut, "7"]\nnc: 3\n'
    put(root / 'mine.yaml', f'train: train.txt\nval: [val.txt]\n{names}')


def yolo_roboflow(root):
    for split, name in ROBOFLOW.items():
        write(root, f'{name}/images', f'{name}/labels', 'yolo', split)
    put(
        root / 'data.yaml',
        'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 3\n'
        "names: ['hex bolt', 'nut', '7']\n\nroboflow:\n  workspace: mine\n",
    )
    write(root, 'test/images', 'test/labels', 'yolo', 'val')


def yolo_cvat(root):
    """CVAT's 'YOLO 1.1', which puts `data/` in front of its paths."""
    put(root / 'obj.names', '\n'.join(CLASSES) + '\n')
    for split, name in ROBOFLOW.items():
        place = f'obj_{name}_data'
        write(root, place, place, 'yolo', split)
        paths = [f'data/{place}/{image}\n' for image in images_of(split)]
        put(root / f'{name}.txt', ''.join(paths))
    put(
        root / 'obj.data',
        'classes = 3\ntrain = data/train.txt\nvalid = data/valid.txt\n'
        'names = data/obj.names\nbackup = backup/\n',
    )


def yolo_cvat_ultralytics(root):
    for split in ('train', 'val'):
        write(root, f'images/{split}', f'labels/{split}', 'yolo', split)
        paths = [f'data/images/{split}/{name}\n' for name in images_of(split)]
        put(root / f'{split}.txt', ''.join(paths))
    put(
        root / 'data.yaml',
        'names:\n  0: hex bolt\n  1: nut\n  2: "7"\npath: .\n'
        'train: train.txt\nval: val.txt\n',
    )


def yolo_plain(root):
    write(root, 'images', 'labels', 'yolo')
    put(root / 'classes.txt', '\n'.join(CLASSES))
    put(root / 'notes.json', dict(categories=[], info={}))  # Label Studio's


def yolo_beside(root):
    """As labelImg writes it."""
    write(root, '.', '.', 'yolo')
    put(root / 'classes.txt', '\n'.join(CLASSES))


def voc_kit(root):
    write(root, 'JPEGImages', 'Annotations', 'voc')
    for split in ('train', 'val'):
        stems = [Path(name).stem for name in images_of(split)]
        put(root / f'ImageSets/Main/{split}.txt', '\n'.join(stems) + '\n')
        put(root / f'ImageSets/Main/nut_{split}.txt', f'{stems[0]} -1\n')
    put(root / 'ImageSets/Main/trainval.txt', 'one\n')
    put(root / 'ImageSets/Segmentation/readme.txt', '')


def voc_datumaro(root):
    """As CVAT exports it: no file for an image without objects, which is listed."""
    voc_kit(root)
    (root / 'Annotations/three.xml').unlink()


def voc_datumaro_without_splits(root):
    voc_datumaro(root)
    shutil.rmtree(root / 'ImageSets')
    put(root / 'ImageSets/Main/default.txt', ''.join(f'{n[:-4]}\n' for n in IMAGES))


def voc_two_folders(root):
    write(root, 'images', 'annotations', 'voc')


def voc_beside(root):
    write(root, '.', '.', 'voc')


def voc_roboflow(root):
    for split, name in ROBOFLOW.items():
        write(root, name, name, 'voc', split)


def labelme_beside(root):
    write(root, '.', '.', 'labelme')


def labelme_splits(root):
    for split in ('train', 'val'):
        write(root, split, split, 'labelme', split)


def labelme_two_folders(root):
    for split in ('train', 'val'):
        write(root, f'images/{split}', f'json/{split}', 'labelme', split)


WITH_VAL = (
    coco_mmdet, coco_one_folder_of_images, coco_2017, coco_roboflow,
    yolo_ultralytics, yolo_lists, yolo_roboflow, yolo_cvat, yolo_cvat_ultralytics,
    voc_kit, voc_datumaro, voc_roboflow, labelme_splits, labelme_two_folders,
)  # fmt: skip
WITHOUT_VAL = (
    coco_cvat, yolo_plain, yolo_beside, voc_two_folders, voc_beside, labelme_beside,
    voc_datumaro_without_splits,
)  # fmt: skip


def objects(data, splits=('train', 'val')):
    """Image, class and box of every object, and the images without."""
    found = set()
    for split in splits:
        part = data.splits[split]
        document = json.loads(part.ann_file.read_text())
        names = {entry['id']: entry['name'] for entry in document['categories']}
        assert list(names.values()) == list(data.classes)
        images = {}
        for entry in document['images']:
            with Image.open(part.images / entry['file_name']) as opened:
                assert opened.size == (entry['width'], entry['height'])
            images[entry['id']] = Path(entry['file_name']).name
        bare = set(images.values())
        for entry in document['annotations']:
            name = images[entry['image_id']]
            box = tuple(round(value, 2) for value in entry['bbox'])
            found.add((name, names[entry['category_id']], box))
            bare.discard(name)
        found |= {(name, None, None) for name in bare}
    return found


def expected(split=None):
    """The same, from the table."""
    return {
        (name, *entry)
        for name, (_, entries) in images_of(split).items()
        for entry in entries or [(None, None)]
    }
