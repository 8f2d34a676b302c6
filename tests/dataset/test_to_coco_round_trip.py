"""Random COCO boxes, written in each format and converted back."""

import random
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from annotation_files import SUFFIX, labelme, shape, voc, voc_object


def random_document(seed=0):
    """COCO boxes on whole pixels, so that VOC can hold them."""
    rng = random.Random(seed)
    document = dict(images=[], annotations=[], categories=[])
    document['categories'] = [dict(id=i, name=n) for i, n in enumerate('xyz', 1)]
    for number in range(6):
        size = (rng.randrange(30, 200), rng.randrange(30, 200))
        name = f'{"sub/" if number % 2 else ""}{number:03d}.png'
        image = dict(id=number + 1, file_name=name, width=size[0], height=size[1])
        document['images'].append(image)
        for _ in range(number):
            left, top = (rng.randrange(side - 1) for side in size)
            width, height = (
                rng.randint(1, size[0] - left),
                rng.randint(1, size[1] - top),
            )
            entry = dict(image_id=image['id'], category_id=rng.randint(1, 3))
            document['annotations'].append(
                entry
                | dict(id=len(document['annotations']) + 1, iscrowd=0)
                | dict(bbox=[left, top, width, height], area=width * height)
            )
    return document


def as_voc(image, boxes):
    objects = [
        voc_object((x + 1, y + 1, x + w, y + h), name) for name, (x, y, w, h) in boxes
    ]
    name = Path(image['file_name']).name
    return voc(*objects, filename=name, size=(image['width'], image['height']))


def as_yolo(image, boxes):
    width, height = image['width'], image['height']
    return ''.join(
        f'{"xyz".index(name)} {(x + w / 2) / width:.6f} {(y + h / 2) / height:.6f} '
        f'{w / width:.6f} {h / height:.6f}\n'
        for name, (x, y, w, h) in boxes
    )


def as_labelme(image, boxes):
    shapes = [
        shape([[x, y], [x + w, y + h]], 'rectangle', name)
        for name, (x, y, w, h) in boxes
    ]
    name, size = Path(image['file_name']).name, (image['width'], image['height'])
    return labelme(*shapes, image=name, size=size)


WRITERS = dict(voc=as_voc, yolo=as_yolo, labelme=as_labelme)


def write_set(bench, kind, document):
    (bench.images / 'a.png').unlink()
    for image in document['images']:
        bench.image(image['file_name'], (image['width'], image['height']))
        boxes = [
            ('xyz'[entry['category_id'] - 1], entry['bbox'])
            for entry in document['annotations']
            if entry['image_id'] == image['id']
        ]
        path = Path(image['file_name']).with_suffix(SUFFIX[kind])
        bench.write(str(path), WRITERS[kind](image, boxes))


@pytest.mark.parametrize('kind', WRITERS)
def test_there_and_back(bench, kind):
    document = random_document()
    write_set(bench, kind, document)
    back = bench.convert(kind, '--classes', 'x,y,z')
    assert back['categories'] == document['categories']

    def facts(content):
        files = {image['id']: image for image in content['images']}
        return sorted(
            (
                files[e['image_id']]['file_name'],
                e['category_id'],
                *map(round, e['bbox']),
            )
            for e in content['annotations']
        )

    assert facts(back) == facts(document)
    for entry in back['annotations']:
        whole = [round(value) for value in entry['bbox']]
        assert entry['bbox'] == pytest.approx(whole, abs=1e-3)
        assert entry['area'] == pytest.approx(whole[2] * whole[3], rel=1e-3)
    sizes = {i['file_name']: (i['width'], i['height']) for i in document['images']}
    assert sizes == {i['file_name']: (i['width'], i['height']) for i in back['images']}


@pytest.mark.parametrize('kind', WRITERS)
def test_ground_truth_against_itself_has_ap_1(bench, kind):
    write_set(bench, kind, random_document(seed=1))
    bench.convert(kind, '--classes', 'x,y,z')
    truth = COCO(bench.out)
    results = [dict(e, score=1.0) for e in truth.anns.values()]
    evaluation = COCOeval(truth, truth.loadRes(results), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1.0
