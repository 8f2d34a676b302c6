"""What is to be read of a folder that is not COCO."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..document import Reader, Report, Source, convert
from ..images import ImageFolder
from ..listing import Listing
from ..splits import SPLITS

REMEDY = 'leave it out by --skip-broken of tools/dataset/prepare.py'


@dataclass(frozen=True)
class Plan:
    """What is to be read of a folder that is not COCO.

    Attributes:
        layout: Its name.
        found: What it was recognised by.
        root: The files, among them the images; `file_name` is below it.
        reader: Reads an annotation file.
        classes: Class names in the order of their ids; `None`: those that are found.
        sources: The annotated images of each split.
        extra: Other files that decide what is read.
        notes: What was decided.
    """

    layout: str
    found: str
    root: Listing
    reader: Reader
    classes: tuple[str, ...] | None
    sources: dict[str, list[Source]]
    extra: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> list[str]:
        """The splits that are there."""
        return [split for split in SPLITS if split in self.sources]

    def images(self, split: str) -> Path:
        """Return the folder that `file_name` is below."""
        return self.root.folder

    def unchanged(self, crowd_as_objects: bool) -> None:
        """Return `None`: it cannot be used as it is."""

    def decisive(self) -> Iterator[Path | str]:
        """Return all files that decide what is read, and what was decided."""
        yield from (*self.notes, *self.extra)
        for split, sources in self.sources.items():
            yield split
            yield from (source.path or source.image for source in sources)
        yield from (self.root.folder / name for name in self.root.images())

    def read(
        self, crowd_as_objects: bool, skip_broken: bool
    ) -> tuple[dict[str, dict], tuple[str, ...], list[str]]:
        """Return a COCO document for each split, the classes, and what to tell.

        Raises:
            ConfigError: Something is broken and not to be skipped.
        """
        documents, notes = {}, list(self.notes)
        images = ImageFolder(self.root)
        for split in self.splits:
            report = Report(skip_broken, REMEDY)
            documents[split] = convert(
                self.reader,
                self.sources[split],
                images,
                self.classes,
                report,
                f'reading {split}',
            )
            notes += [f'{split}: {line}.' for line in report.lines()]
        used = {i['file_name'] for d in documents.values() for i in d['images']}
        if self.classes is None and (unused := len(images.names) - len(used)):
            notes.append(f'{unused} images have no annotation file; left out.')
        found = {c['name'] for d in documents.values() for c in d['categories']}
        return documents, self.classes or tuple(sorted(found)), notes
