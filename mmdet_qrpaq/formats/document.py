"""Puts the objects of all annotation files into one COCO document, and counts."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ..errors import ConfigError
from .images import ImageFolder
from .shapes import Broken, Record, Shape, clip

try:
    from rich.progress import track
except ModuleNotFoundError:  # mmengine brings it; without it, there is no bar
    track = None

_NO_ANNOTATIONS = ('classes.txt',)  # YOLO tools keep it among the labels
_DECIMALS = 3  # a thousandth of a pixel


class Reader(Protocol):
    """One format: `Voc`, `Yolo` or `Labelme`."""

    suffix: str

    def read(self, path: Path) -> Record:
        """Read one file."""

    def shape(self, entry: Any, size: tuple[int, int]) -> Shape:
        """Return one object of a file."""


@dataclass
class Report:
    """What was found, and what was skipped.

    Attributes:
        skip_broken: Count what is broken and go on.
        clipped: Objects cut at the border of the image, by at most a pixel.
        difficult: Objects marked so in VOC; they are kept.
        doubtful: Annotation files that name another image than the one used.
        unannotated: Images without a sound annotation file; they are left out.
        skipped: How often for each reason.
        examples: The first sentence for each reason.
    """

    skip_broken: bool
    clipped: int = 0
    difficult: int = 0
    doubtful: int = 0
    unannotated: int = 0
    skipped: Counter = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def guard(self, place: str) -> Iterator[None]:
        """Count what is broken in the body, or end the run.

        Raises:
            ConfigError: Something is broken and not to be skipped.
        """
        try:
            yield
        except Broken as error:
            sentence = f'{place}: {error}'
            if not self.skip_broken:
                raise ConfigError(
                    f'{sentence}; correct it, or pass --skip-broken.'
                ) from error
            self.skipped[error.reason] += 1
            self.examples.setdefault(error.reason, sentence)


def convert(
    reader: Reader,
    folder: Path,
    image_folder: ImageFolder,
    classes: tuple[str, ...] | None,
    *,
    skip_broken: bool = False,
) -> tuple[dict, Report]:
    """Read all annotation files below a folder.

    Args:
        classes: Class names in the order of their ids, which start at 1; `None`: all
            that are found, sorted.

    Returns:
        The COCO document, and what was counted on the way.

    Raises:
        ConfigError: There is nothing to convert, or something is broken and not
            to be skipped.
    """
    files = sorted(
        path
        for path in folder.rglob(f'*{reader.suffix}')
        if path.is_file() and path.name not in _NO_ANNOTATIONS
    )
    if not files:
        raise ConfigError(
            f'{folder} holds no {reader.suffix} files; name the folder with the '
            'annotations.'
        )
    report = Report(skip_broken)
    images: list[dict] = []
    sources: dict[str, Path] = {}
    found: list[tuple[dict, Shape]] = []
    hidden = track is None or not sys.stdout.isatty()
    for path in files if hidden else track(files, 'converting'):
        with report.guard(str(path)):
            record = reader.read(path)
            below = PurePosixPath(path.relative_to(folder).as_posix())
            name, is_doubtful = image_folder.find(record.image, below)
            if name in sources:
                raise Broken(
                    'image annotated twice',
                    f'the image {name} is already annotated by {sources[name]}',
                )
            size = image_folder.size(name)
            _compare_sizes(record.size, size, name)
            sources[name] = path
            report.doubtful += is_doubtful
            image = dict(id=len(sources), file_name=name)
            image |= dict(width=size[0], height=size[1])
            images.append(image)
            for where, entry in record.entries:
                with report.guard(f'{path}: {where}'):
                    shape = reader.shape(entry, size)
                    if classes is not None and shape.label not in classes:
                        raise Broken(
                            'unknown class',
                            f'the class {shape.label!r} is not in --classes',
                        )
                    shape, was_clipped = clip(shape, size)
                    report.clipped += was_clipped
                    report.difficult += shape.difficult
                    found.append((image, shape))
    if not images:
        raise ConfigError(
            f'none of the {len(files)} annotation files can be converted, the first '
            f'problem is: {next(iter(report.examples.values()))}.'
        )
    names = classes or tuple(sorted({shape.label for _, shape in found}))
    if not names:
        raise ConfigError(
            f'{folder} holds no object, so the classes are unknown; name them with '
            '--classes.'
        )
    report.unannotated = len(image_folder.names) - len(images)
    document = dict(
        images=images,
        annotations=[
            dict(
                id=index,
                image_id=image['id'],
                category_id=names.index(shape.label) + 1,
                **_measure(shape, image),
            )
            for index, (image, shape) in enumerate(found, 1)
        ],
        categories=[dict(id=index, name=name) for index, name in enumerate(names, 1)],
    )
    return document, report


def _compare_sizes(
    written: tuple[float, float] | None, size: tuple[int, int], name: str
) -> None:
    """Refuse another size: boxes drawn on it would be wrong without a sign."""
    # Some tools write 0 for a size they do not know.
    if written is None or 0 in written or written == size:
        return
    raise Broken(
        'other image size',
        f'it was made for an image of {written[0]:g} x {written[1]:g} pixels, but '
        f'{name} has {size[0]} x {size[1]}',
    )


def _measure(shape: Shape, image: dict) -> dict:
    """Return COCO's fields of one object; its area is that of its mask."""
    left, top, right, bottom = shape.box
    width, height = right - left, bottom - top
    area = width * height
    polygons = [[round(v, _DECIMALS) for v in polygon] for polygon in shape.polygons]
    if polygons:
        from pycocotools import mask as coco_mask  # slow: not for --help

        parts = coco_mask.frPyObjects(polygons, image['height'], image['width'])
        # A scratch thinner than a pixel may have no mask, but is an object.
        area = float(coco_mask.area(coco_mask.merge(parts))) or area
    fields = dict(
        bbox=[round(value, _DECIMALS) for value in (left, top, width, height)],
        area=round(area, _DECIMALS),
        iscrowd=0,
    )
    return fields | (dict(segmentation=polygons) if polygons else {})


def write(out: Path, document: dict) -> None:
    """Write a COCO file that is either complete or not there.

    Raises:
        ConfigError: It cannot be written.
    """
    partial = out.with_name(out.name + '.partial')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(document) + '\n', encoding='utf-8')
        partial.replace(out)
    except OSError as error:
        raise ConfigError(
            f'{out} cannot be written ({error.strerror}); choose another place with '
            '--out.'
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
