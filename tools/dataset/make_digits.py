#!/usr/bin/env python
"""Make a small COCO-format detection set from pictures that ship inside packages.

scikit-learn's handwritten digits (classes '0' to '9') are drawn as bright strokes
on dimmed photographs from the scikit-image wheel. Nothing is downloaded. Train and
val share neither a handwritten digit nor a photograph. Every picture depends only
on the seed, its split and its number, so the same settings give the same data set.

    OUT/train/*.png  OUT/val/*.png  OUT/annotations/instances_{train,val}.json
    OUT/dataset.json     settings and checksums, by which the data set is recognised
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
import cv2
import numpy as np
from digit_scenes import (
    annotate,
    compose,
    digit_rows,
    raster_side,
    read_photographs,
)
from rich.progress import track

from mmdet_qrpaq.errors import ConfigError

# Raise this when the drawing changes, so that older data sets are told apart.
GENERATOR = 'digits-1'
SPLITS = ('train', 'val')
SMALLEST_DIGIT = 12  # pixels


def make_dataset(
    out: Path, settings: dict, *, force: bool = False, quiet: bool = False
) -> bool:
    """Make the data set unless `out` already holds exactly this one.

    It is drawn into a folder beside `out` and renamed when complete, so `out` never
    holds half a data set.

    Args:
        settings: `num_train`, `num_val`, `size` (pixels), `objects` (fewest, most),
            `digit_size` (smallest, largest; pixels) and `seed`.
        force: Replace a different data set made by this tool.
        quiet: Show no progress bar.

    Returns:
        Whether anything was made.

    Raises:
        ConfigError: The settings cannot work, or `out` holds something else.
    """
    check_settings(settings)
    settings = json.loads(json.dumps(settings))
    if out.is_dir() and any(out.iterdir()) or out.is_file():
        found = _read_card(out)
        if found is None:
            raise ConfigError(
                f'{out} holds files that this tool did not make; choose another --out.'
            )
        if found.get('generator') == GENERATOR and found.get('settings') == settings:
            if _is_intact(out, found):
                return False
        if not force:
            raise ConfigError(
                f'{out} holds a different or damaged data set; choose another --out '
                'or replace it with --force.'
            )
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for split in SPLITS:
        write_split(partial, split, settings, quiet)
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
        ConfigError: A number is out of its range.
    """
    for name in ('num_train', 'num_val'):
        if settings[name] < 1:
            option = '--' + name.replace('_', '-')
            raise ConfigError(f'{option} must be at least 1, got {settings[name]}.')
    fewest, most = settings['objects']
    if not 1 <= fewest <= most:
        raise ConfigError(
            f'--objects must be FEWEST MOST with 1 <= FEWEST <= MOST, got '
            f'{fewest} {most}.'
        )
    size, least = settings['size'], raster_side(SMALLEST_DIGIT)
    if size < least:
        raise ConfigError(f'--size must be at least {least}, got {size}.')
    low, high = settings['digit_size']
    if not SMALLEST_DIGIT <= low <= high or raster_side(high) > size:
        raise ConfigError(
            f'--digit-size must be SMALLEST LARGEST with {SMALLEST_DIGIT} <= SMALLEST '
            f'<= LARGEST <= 0.8 times --size ({size}), got {low} {high}.'
        )
    if settings['seed'] < 0:
        raise ConfigError(f'--seed must not be negative, got {settings["seed"]}.')


def write_split(folder: Path, split: str, settings: dict, quiet: bool = False) -> None:
    """Draw one split into `folder/<split>` and write its annotation file."""
    photographs, digits = read_photographs(split), digit_rows(split)
    (folder / split).mkdir()
    images, annotations = [], []
    numbers = range(settings[f'num_{split}'])
    for number in track(numbers, f'drawing {split:5}', disable=quiet):
        seed = [settings['seed'], SPLITS.index(split), number]
        picture, photograph, objects = compose(
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
        cv2.imwrite(str(folder / split / image['file_name']), picture)
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
    except (OSError, ValueError):
        return None
    if not isinstance(card, dict) or not {'settings', 'sha256'} <= card.keys():
        return None
    ours = str(card.get('generator')).startswith(GENERATOR.rstrip('0123456789'))
    return card if ours else None


def _is_intact(folder: Path, card: dict) -> bool:
    """Tell whether annotations and the number of pictures are as they were made."""
    for split in SPLITS:
        annotations = _annotation_file(folder, split)
        pictures = list((folder / split).glob('*.png'))
        if (
            not annotations.is_file()
            or _checksum(folder, split) != card['sha256'][split]
        ):
            return False
        if len(pictures) != card['settings'][f'num_{split}']:
            return False
    return True


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--out', type=Path, default=Path('data/digits'), help='folder to make')
    add('--num-train', type=int, default=800, help='training pictures (800)')
    add('--num-val', type=int, default=200, help='validation pictures (200)')
    add('--size', type=int, default=128, help='side of a picture in pixels (128)')
    pair = dict(type=int, nargs=2)
    help_objects = (
        'digits a picture, fewest and most (1 4); fewer where no room is left'
    )
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
    out, force = args.pop('out'), args.pop('force')
    try:
        made = make_dataset(out, args, force=force)
    except ConfigError as error:
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
