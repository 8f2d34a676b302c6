"""Puts the objects of all annotation files into one COCO document, and counts."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ..errors import ConfigError
from .images import ImageFolder
from .listing import Listing
from .shapes import Broken, Record, Shape, clip

try:
    from rich.progress import track
except ModuleNotFoundError:  # mmengine brings it; without it, there is no bar
    track = None

_NO_ANNOTATIONS = ('classes.txt',)  # YOLO tools keep it among the labels
_DECIMALS = 3  # a thousandth of a pixel
SKIPPING = 'pass --skip-broken'


class Reader(Protocol):
    """One format: `Voc`, `Yolo` or `Labelme`."""

    suffix: str

    def read(self, path: Path) -> Record | None:
        """Read one file; `None`: it holds no annotations of an image."""

    def shape(self, entry: Any, size: tuple[int, int]) -> Shape:
        """Return one object of a file."""


@dataclass(frozen=True)
class Source:
    """Where the objects of one image stand.

    Attributes:
        path: The annotation file; `None`: the image has no objects.
        image: The image below its folder, if it is known.
        beside: Where below the folder of the images the annotation file belongs: an
            image of its name there is the one it means.
    """

    path: Path | None
    image: str | None = None
    beside: PurePosixPath = PurePosixPath()


def sources_below(folder: Path, suffix: str) -> list[Source]:
    """Return all annotation files below a folder.

    Raises:
        ConfigError: There are none.
    """
    sources = [
        Source(folder / name, beside=PurePosixPath(name))
        for name in Listing(folder).ending(suffix)
        if PurePosixPath(name).name not in _NO_ANNOTATIONS
    ]
    if not sources:
        raise ConfigError(
            f'{folder} holds no {suffix} files; name the folder with the annotations.'
        )
    return sources


@dataclass
class Report:
    """What was found, and what was skipped.

    Attributes:
        skip_broken: Count what is broken and go on.
        remedy: What else to do about what is broken than to correct it.
        told: How often something was not taken as it stands in a file.
        skipped: How often for each reason.
        examples: The first sentence for each reason.
    """

    skip_broken: bool
    remedy: str = SKIPPING
    told: Counter = field(default_factory=Counter)
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
                    f'{sentence}; correct it, or {self.remedy}.'
                ) from error
            self.skipped[error.reason] += 1
            self.examples.setdefault(error.reason, sentence)

    def lines(self) -> list[str]:
        """Return all of it, a line each."""
        lines = [f'{text}: {count}' for text, count in self.told.items() if count]
        for reason, count in self.skipped.most_common():
            lines.append(f'skipped, {reason}: {count}, e.g. {self.examples[reason]}')
        return lines


def convert(
    reader: Reader,
    sources: Sequence[Source],
    images: ImageFolder,
    classes: tuple[str, ...] | None,
    report: Report,
    title: str = 'converting',
) -> dict:
    """Read annotation files.

    Args:
        images: The folder that `file_name` in the document is below.
        classes: Class names in the order of their ids, which start at 1; `None`: all
            that are found, sorted.
        report: Counts what is told on the way.
        title: What a bar shows.

    Returns:
        The COCO document.

    Raises:
        ConfigError: There is nothing to convert, or something is broken and not to be
            skipped.
    """
    entries: list[dict] = []
    taken: dict[str, Path | None] = {}
    found: list[tuple[dict, Shape]] = []
    hidden = track is None or not sys.stdout.isatty()
    for source in sources if hidden else track(sources, title):
        place = source.path or images.folder / source.image
        with report.guard(str(place)):
            record = reader.read(source.path) if source.path else Record(None, None, [])
            if record is None:
                continue
            name, is_doubtful = source.image, False
            if name is None:
                name, is_doubtful = images.find(record.image, source.beside)
            if name in taken:
                raise Broken(
                    'image annotated twice',
                    f'the image {name} is already annotated by {taken[name]}',
                )
            size = images.size(name)
            _compare_sizes(record.size, size, name)
            taken[name] = source.path
            report.told['files that name another image inside; their own was used'] += (
                is_doubtful
            )
            image = dict(id=len(taken), file_name=name)
            image |= dict(width=size[0], height=size[1])
            entries.append(image)
            for where, entry in record.entries:
                with report.guard(f'{place}: {where}'):
                    shape = reader.shape(entry, size)
                    if classes is not None and shape.label not in classes:
                        raise Broken(
                            'unknown class',
                            f'the class {shape.label!r} is not in --classes',
                        )
                    shape, was_clipped = clip(shape, size)
                    report.told[
                        'objects clipped, as they stuck out by at most a pixel'
                    ] += was_clipped
                    report.told.update(shape.remarks)
                    found.append((image, shape))
    if not entries:
        problem = next(iter(report.examples.values()), 'none describes an image')
        raise ConfigError(
            f'none of the {len(sources)} annotation files can be converted, the first '
            f'problem is: {problem}.'
        )
    names = classes or tuple(sorted({shape.label for _, shape in found}))
    ids = {name: index for index, name in enumerate(names, 1)}
    return dict(
        info={},
        licenses=[],
        images=entries,
        annotations=[
            dict(
                id=index,
                image_id=image['id'],
                category_id=ids[shape.label],
                **_measure(shape, image),
            )
            for index, (image, shape) in enumerate(found, 1)
        ],
        categories=[dict(id=index, name=name) for name, index in ids.items()],
    )


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
            f'{out} cannot be written ({error.strerror}); choose another place.'
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


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
    mask: list | dict = [[round(v, _DECIMALS) for v in part] for part in shape.polygons]
    if mask or shape.mask:
        from pycocotools import mask as coco_mask  # slow: not for --help

        parts = mask and coco_mask.frPyObjects(mask, image['height'], image['width'])
        # A scratch thinner than a pixel may have no mask, but is an object.
        area = float(coco_mask.area(shape.mask or coco_mask.merge(parts))) or area
    fields = dict(
        bbox=[round(value, _DECIMALS) for value in (left, top, width, height)],
        area=round(area, _DECIMALS),
        iscrowd=0,
    )
    mask = shape.mask or mask
    return fields | (dict(segmentation=mask) if mask else {})
