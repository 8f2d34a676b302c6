"""Compares the images of a file with those on the disk: there, not empty, as large."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from ..finding import Finding, Severity
from ..formats.images import Header, image_header
from ..formats.shapes import Broken
from .reading import Annotations, Rows, missing, others, rows_of
from .use import Use, once


def sizeless(found: Annotations) -> Rows:
    """Return which images lack their width, their height or both."""
    return missing(found.images['width']) | missing(found.images['height'])


@once
def fill_sizes(found: Annotations, use: Use) -> None:
    """Read the sizes that the file lacks from the images, as far as they are there."""
    if use.folder is None:
        return
    for row in rows_of(sizeless(found) & np.isnan(found.sizes).any(1)):
        with suppress(Broken):
            found.sizes[row] = image_header(path_of(found, use.folder, row)).size


def image_files(found: Annotations, use: Use) -> list[Finding]:
    """Find images that are missing, empty, unreadable or of another size.

    Names and lengths of all, by folder listings, far cheaper than to ask for each;
    headers of `use.headers` of them. Those of an evaluator are not opened.
    """
    if use.folder is None or use.judged:
        return []
    if not found.images['id']:
        return [
            Finding(
                Severity.ERROR,
                'no-images',
                found.path,
                'it lists no images',
                'choose another ann_file',
            )
        ]
    absent, empty = _look_up(found, use.folder)
    findings = []
    count = len(found.images['id'])
    if absent:
        findings.append(
            Finding(
                Severity.ERROR,
                'image-missing',
                use.key,
                f'{len(absent)} of the {count} images listed in {found.path} do not '
                f'exist, the first is {absent[0]}',
                f'add them or set {use.key}.data_prefix.img to their folder',
                len(absent),
            )
        )
    if empty:
        findings.append(
            Finding(
                Severity.ERROR,
                'image-empty',
                empty[0],
                f'the file has 0 bytes{others(empty)}',
                'copy it again, or leave it out of the annotation file',
                len(empty),
            )
        )
    return findings or _headers(found, use)


def path_of(found: Annotations, folder: str, row: int) -> str:
    """Return where an image is, as upstream joins it."""
    return os.path.join(folder, str(found.images['file_name'][row]))


def _look_up(found: Annotations, folder: str) -> tuple[list[str], list[str]]:
    """Return the paths of images that are not there, and of empty ones."""
    listings: dict[str, dict[str, os.DirEntry]] = {}
    absent, empty = [], []
    for row, name in enumerate(found.images['file_name']):
        if type(name) is not str:  # told by another check
            continue
        path = path_of(found, folder, row)
        parent, base = os.path.split(path)
        if parent not in listings:
            listings[parent] = {entry.name: entry for entry in _entries(parent)}
        entry = listings[parent].get(base)
        try:
            if entry is None:
                absent.append(path)
            elif not entry.stat().st_size:
                empty.append(path)
        except OSError:  # a link to nowhere
            absent.append(path)
    return absent, empty


def _entries(folder: str) -> Iterator[os.DirEntry]:
    if os.path.isdir(folder):
        with os.scandir(folder) as entries:
            yield from entries


def _headers(found: Annotations, use: Use) -> list[Finding]:
    """Compare the sizes in some headers with those of the file, which may lack them."""
    count = len(found.images['id'])
    spread = np.linspace(0, count - 1, min(count, use.headers)).astype(int)
    rows = np.union1d(spread, rows_of(np.isnan(found.sizes).any(1))).astype(int)
    differing, broken = [], []
    for row in rows.tolist():
        path = path_of(found, use.folder, row)
        try:
            header = image_header(path)
        except Broken as error:
            broken.append(str(error))
            continue
        written = tuple(found.sizes[row].tolist())
        if is_other_size(written, header):
            differing.append((path, written, header))
    looked_at = f'; {len(rows)} of its {count} images were looked at'
    return [
        *unreadable_images(found.path, broken, looked_at),
        *other_sizes(found.path, differing, looked_at),
    ]


def is_other_size(written: tuple[float, float], header: Header) -> bool:
    """Compare width and height in a file, NaN where there is none, with an image's."""
    return not np.isnan(written).any() and written != header.size


def unreadable_images(
    ann_file: str, broken: Sequence[str], more: str = ''
) -> list[Finding]:
    """Tell of images that cannot be read.

    Args:
        broken: A sentence about each.
        more: What is added to that about the first.
    """
    if not broken:
        return []
    return [
        Finding(
            Severity.ERROR,
            'image-unreadable',
            ann_file,
            f'{broken[0]}{others(broken)}{more}',
            'replace it, or leave it out of the annotation file',
            len(broken),
        )
    ]


def other_sizes(
    ann_file: str,
    differing: Sequence[tuple[str, tuple[float, float], Header]],
    more: str = '',
) -> list[Finding]:
    """Tell of images of another size than their file says.

    Args:
        differing: Path, width and height in the file, pixels, and header of each.
        more: What is added to the sentence about the first.
    """
    if not differing:
        return []
    path, (width, height), header = differing[0]
    turned = ', turned as its EXIF tag says' if header.turned else ''
    return [
        Finding(
            Severity.ERROR,
            'image-size',
            path,
            f'it is {header.size[0]} x {header.size[1]} pixels{turned}, and '
            f'{width:g} x {height:g} in {ann_file}{others(differing)}{more}',
            'use the images that were annotated, or scale the boxes with them',
            len(differing),
        )
    ]
