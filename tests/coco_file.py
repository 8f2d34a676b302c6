"""A tiny sound COCO file, to be broken in one place at a time."""

import json
from pathlib import Path

from PIL import Image

from mmdet_qrpaq.annotations import Use, check_annotations, read_annotations

SIZES = ((100, 80), (64, 48))  # of image 1 and 2, in pixels


def sound() -> dict:
    """Two objects in a.png, one in b.png; categories 3 (bolt) and 7 (nut)."""
    return dict(
        info={},
        images=[
            dict(id=n, file_name=f'{name}.png', width=w, height=h)
            for n, (name, (w, h)) in enumerate(zip('ab', SIZES, strict=True), 1)
        ],
        annotations=[
            box(11, 1, 3, [10, 10, 20, 30]),
            box(12, 1, 7, [50, 40, 30.5, 10]),
            box(13, 2, 3, [0, 0, 64, 48]),
        ],
        categories=[dict(id=3, name='bolt'), dict(id=7, name='nut')],
    )


def box(number, image, category, bbox) -> dict:
    """An object whose mask is its box."""
    x, y, w, h = bbox
    return dict(
        id=number,
        image_id=image,
        category_id=category,
        bbox=bbox,
        area=w * h,
        iscrowd=0,
        segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
    )


def write(folder: Path, coco: dict, name: str = 'a.json') -> str:
    """Write it, and its images into `folder / 'images'`; return its path."""
    images = folder / 'images'
    images.mkdir(exist_ok=True)
    for letter, size in zip('ab', SIZES, strict=True):
        Image.new('L', size).save(images / f'{letter}.png')
    (folder / name).write_text(json.dumps(coco))
    return str(folder / name)


def use(folder: Path | None = None, **settings) -> Use:
    """Of both classes, in a training that looks at the images in `folder`."""
    images = None if folder is None else str(folder / 'images')
    settings = dict(classes=('bolt', 'nut'), folder=images, learned=True) | settings
    return Use('train_dataloader.dataset', **settings)


def faults(folder: Path, coco: dict, **settings) -> dict[str, str]:
    """What is found in it: sentences by kind."""
    found = read_annotations(write(folder, coco))
    findings = check_annotations(found, use(folder, **settings))
    assert len({finding.kind for finding in findings}) == len(findings), findings
    return {finding.kind: str(finding) for finding in findings}
