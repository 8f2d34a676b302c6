"""Make the data set of digits, whole or not at all: the work of `make_digits.py`.

`digit_scenes.py` draws the images; this numbers them and writes the files.
"""

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from digit_scenes import (
    DatasetError,
    annotate,
    compose,
    digit_rows,
    raster_side,
    read_photographs,
)

# Raise this when the drawing changes, so that older data sets are told apart.
GENERATOR = 'digits-1'
SPLITS = ('train', 'val')
SMALLEST_DIGIT = 12  # pixels


def make_dataset(out: Path, settings: dict, *, force: bool = False) -> bool:
    """Make the data set unless `out` already holds exactly this one.

    It is drawn into a folder beside `out` and renamed when complete, so `out` never
    holds half a data set.

    Args:
        settings: `num_train`, `num_val`, `size` (pixels), `objects` (fewest, most),
            `digit_size` (smallest, largest; pixels) and `seed`.
        force: Replace a different data set made by this tool.

    Returns:
        Whether anything was made.

    Raises:
        DatasetError: The settings cannot work, or `out` holds something else.
    """
    check_settings(settings)
    settings = json.loads(json.dumps(settings))
    if out.is_dir() and any(out.iterdir()) or out.is_file():
        found = _read_card(out)
        if found is None:
            raise DatasetError(
                f'{out} holds files that this tool did not make; choose another --out.'
            )
        same = found['generator'] == GENERATOR and found['settings'] == settings
        if same and _is_intact(out, found):
            return False
        if not force:
            raise DatasetError(
                f'{out} holds a different or damaged data set; choose another --out '
                'or replace it with --force.'
            )
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for split in SPLITS:
        write_split(partial, split, settings)
    card = dict(
        generator=GENERATOR,
        settings=settings,
        sha256={split: _checksum(partial, split) for split in SPLITS},
    )
    (partial / 'dataset.json').write_text(json.dumps(card, indent=2) + '\n')
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    return True


def check_settings(settings: dict) -> None:
    """Refuse settings that cannot give a data set.

    Raises:
        DatasetError: A number is out of its range.
    """
    for name in ('num_train', 'num_val'):
        if settings[name] < 1:
            option = '--' + name.replace('_', '-')
            raise DatasetError(f'{option} must be at least 1, got {settings[name]}.')
    fewest, most = settings['objects']
    if not 1 <= fewest <= most:
        raise DatasetError(
            f'--objects must be FEWEST MOST with 1 <= FEWEST <= MOST, got '
            f'{fewest} {most}.'
        )
    size, least = settings['size'], raster_side(SMALLEST_DIGIT)
    if size < least:
        raise DatasetError(f'--size must be at least {least}, got {size}.')
    low, high = settings['digit_size']
    if not SMALLEST_DIGIT <= low <= high or raster_side(high) > size:
        raise DatasetError(
            f'--digit-size must be SMALLEST LARGEST with {SMALLEST_DIGIT} <= SMALLEST '
            f'<= LARGEST <= 0.8 times --size ({size}), got {low} {high}.'
        )
    if settings['seed'] < 0:
        raise DatasetError(f'--seed must not be negative, got {settings["seed"]}.')


def write_split(folder: Path, split: str, settings: dict) -> None:
    """Draw one split into `folder/<split>` and write its annotation file."""
    photographs, digits = read_photographs(split), digit_rows(split)
    (folder / split).mkdir()
    images, annotations = [], []
    numbers = range(settings[f'num_{split}'])
    for number in track(numbers, f'drawing {split:5}'):
        seed = [settings['seed'], SPLITS.index(split), number]
        pixels, photograph, objects = compose(
            np.random.default_rng(seed), photographs, digits, settings
        )
        image = dict(
            id=number + 1,
            file_name=f'{number:06d}.png',
            width=settings['size'],
            height=settings['size'],
            photograph=photograph,
        )
        images.append(image)
        cv2.imwrite(str(folder / split / image['file_name']), pixels)
        for thing in objects:
            entry = dict(
                id=len(annotations) + 1,
                image_id=image['id'],
                category_id=thing['label'] + 1,
                digit=thing['digit'],
            )
            annotations.append(entry | annotate(thing['mask']))
    document = dict(
        info=dict(description='Digits on photographs', version=GENERATOR),
        images=images,
        annotations=annotations,
        categories=[dict(id=label + 1, name=str(label)) for label in range(10)],
    )
    target = _annotation_file(folder, split)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document) + '\n')


def _annotation_file(folder: Path, split: str) -> Path:
    return folder / 'annotations' / f'instances_{split}.json'


def _checksum(folder: Path, split: str) -> str:
    return hashlib.sha256(_annotation_file(folder, split).read_bytes()).hexdigest()


def _read_card(folder: Path) -> dict | None:
    """Return the data set's own description, or None if the folder is not ours."""
    try:
        card = json.loads((folder / 'dataset.json').read_text())
        kind = card['generator'].rstrip('0123456789')
        ours = {'settings', 'sha256'} <= card.keys()
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return None
    return card if ours and kind == GENERATOR.rstrip('0123456789') else None


def _is_intact(folder: Path, card: dict) -> bool:
    """Tell whether annotations and the number of images are as they were made."""
    return all(
        _annotation_file(folder, split).is_file()
        and _checksum(folder, split) == card['sha256'][split]
        and len([*(folder / split).glob('*.png')]) == card['settings'][f'num_{split}']
        for split in SPLITS
    )
