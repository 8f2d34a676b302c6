"""Make a COCO file of any size, and read it in one way: its time and its memory.

Called by `annotations.py`, which has the protocol.
"""

import contextlib
import importlib
import io
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

CORNERS = (6, 8, 12, 18, 25, 41)
CLASSES = tuple(f'class {number}' for number in range(80))
SIZE = (640, 480)
LINKS = 50_000  # to one file; file systems have a limit


def write_data(folder: Path, images: int, objects: int) -> int:
    """Write `folder/coco.json` and `folder/images`.

    Returns:
        Length of the file in bytes.
    """
    from PIL import Image

    rng = random.Random(0)
    place = folder / 'images'
    place.mkdir()
    for number in range(images):
        source = place / f'{number // LINKS * LINKS:012d}.png'
        if number % LINKS:
            os.link(source, place / f'{number:012d}.png')
        else:
            Image.new('L', SIZE).save(source)
    path = folder / 'coco.json'
    with path.open('w') as file:
        categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)]
        file.write(f'{{"info": {{}}, "categories": {json.dumps(categories)}')
        for key, entries in (
            ('images', map(_image, range(images))),
            ('annotations', (_object(i, images, rng) for i in range(objects))),
        ):
            file.write(f', "{key}": [{next(entries)}')
            file.writelines(f', {entry}' for entry in entries)
            file.write(']')
        file.write('}')
    return path.stat().st_size


def _image(number: int) -> str:
    name = f'{number:012d}'
    address = f'http://images.example.org/train2017/{name}.jpg'
    return json.dumps(
        dict(
            license=3,
            file_name=f'{name}.png',
            coco_url=address,
            height=SIZE[1],
            width=SIZE[0],
            date_captured='2013-11-14 11:18:45',
            flickr_url=address.replace('images', 'photos'),
            id=number,
        )
    )


def _object(number: int, images: int, rng: random.Random) -> str:
    left, top = rng.random() * 500, rng.random() * 400
    width, height = 10 + rng.random() * 100, 10 + rng.random() * 60
    corners = ', '.join(
        f'{left + rng.random() * width:.2f}, {top + rng.random() * height:.2f}'
        for _ in range(rng.choice(CORNERS))
    )
    return (
        f'{{"segmentation": [[{corners}]], "area": {width * height:.4f}, "iscrowd": 0, '
        f'"image_id": {rng.randrange(images)}, "bbox": [{left:.2f}, {top:.2f}, '
        f'{width:.2f}, {height:.2f}], "category_id": {rng.randrange(80) + 1}, '
        f'"id": {number + 1}}}'
    )


def checks(folder: Path, masks: bool = False) -> None:
    """Look through the file as before a training.

    Raises:
        RuntimeError: A fault was found, and there is none.
    """
    from mmdet_qrpaq.annotations import (
        Use,
        check_annotations,
        find_mends,
        read_annotations,
    )

    found = read_annotations(str(folder / 'coco.json'))
    use = Use(
        'train_dataloader.dataset',
        CLASSES,
        folder=str(folder / 'images'),
        learned=True,
        masks=masks,
        min_size=32,
        queries=900,
    )
    if faults := [*check_annotations(found, use), *find_mends(found, use)]:
        raise RuntimeError(f'{faults[0]}')


def checks_and_masks(folder: Path) -> None:
    """Look at each polygon as well."""
    checks(folder, masks=True)


def pycocotools(folder: Path) -> None:
    """Read the file as upstream's data set does."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        COCO(str(folder / 'coco.json'))


WAYS: dict[str, Callable[[Path], None]] = {
    'checks': checks,
    'checks and masks': checks_and_masks,
    'pycocotools': pycocotools,
}


def peak() -> int:
    """Return the most memory that this process ever held, in bytes."""
    # What getrusage tells outlives exec: it may be the parent's.
    status = Path('/proc/self/status').read_text()
    return 1024 * int(re.search(r'^VmHWM:\s+(\d+) kB$', status, re.MULTILINE)[1])


def main() -> None:
    """Read in one way, and print what it took."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    for module in ('mmdet_qrpaq.annotations', 'pycocotools.coco'):
        importlib.import_module(module)
    before, clock, processor = peak(), time.perf_counter(), time.process_time()
    WAYS[way](folder)
    print(
        json.dumps(
            dict(
                seconds=time.perf_counter() - clock,
                processor_seconds=time.process_time() - processor,
                memory_bytes=peak() - before,
            )
        )
    )
