"""Reads a COCO annotation file once and keeps what the checks compare."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmengine.logging import print_log

from ..errors import ConfigError

_LARGE = 50 * 2**20  # bytes; parsing takes seconds from here on


@dataclass(frozen=True)
class Annotations:
    """The names in one annotation file.

    Attributes:
        categories: Category names in the file's order.
        file_names: Image paths below the image folder.
        image_ids: Ids of the images.
        num_objects: Number of annotated objects.
        num_without_mask: Those of them that have no segmentation.
    """

    categories: tuple[str, ...]
    file_names: tuple[str, ...]
    image_ids: frozenset
    num_objects: int
    num_without_mask: int


@lru_cache(maxsize=8)
def read_annotations(path: str) -> Annotations:
    """Read a COCO annotation file.

    Raises:
        ConfigError: If it is no JSON or not in the COCO format.
    """
    size = Path(path).stat().st_size
    if size > _LARGE:
        print_log(f'Checking {path} ({size / 2**20:.0f} MB)...', logger='current')
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except ValueError as error:  # includes bad encodings
        raise ConfigError(
            f'annotation file {path} is not readable as JSON ({error}); export it '
            'again in the COCO format.'
        ) from error
    try:
        objects = content.get('annotations', ())
        return Annotations(
            categories=tuple(entry['name'] for entry in content['categories']),
            file_names=tuple(entry['file_name'] for entry in content['images']),
            image_ids=frozenset(entry['id'] for entry in content['images']),
            num_objects=len(objects),
            num_without_mask=sum(not entry.get('segmentation') for entry in objects),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            f'annotation file {path} is not in the COCO format ({error!r}); it needs '
            'the lists images (id, file_name), annotations (category_id, ...) and '
            'categories (id, name).'
        ) from error
