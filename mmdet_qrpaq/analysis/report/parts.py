"""Runs the sections that apply to some models, and keeps what they found.

What was found lies in a folder as JSON and PNG. It is taken from there, or from where
the section's own script has left it, as long as it was made from the same weights,
config, annotations and options, by the same versions on the same hardware. To measure
anew, remove the folder.
"""

import json
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
from matplotlib.figure import Figure

from ...errors import ConfigError
from ...records.provenance import describe_environment, is_same_origin
from ...records.tables import Table
from ...runtime.checkpoints import is_remote
from ..measuring import (
    conclude,
    observers_of,
    origin_of,
    write_measured,
)
from ..one_pass import Observer, SeenBatch, one_pass
from ..section import Section
from ..trained_detector import TrainedModel

MADE, REUSED, NOT_APPLICABLE, FAILED = 'made', 'reused', 'does not apply', 'failed'
PNG_START, PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'


@dataclass
class Part:
    """A section's result for one model or for all.

    Attributes:
        section: What was asked.
        models: Whom.
        options: How.
        file: Of the numbers.
        origin: What they are made from.
        status: `MADE`, `REUSED`, `NOT_APPLICABLE` or `FAILED`; empty until it is known.
        sentence: Why not, else empty.
        numbers: What was found.
        tables: Of the page.
        figure: PNG.
        observers: One a model, of a section that only looks on.
    """

    section: Section
    models: Sequence[TrainedModel]
    options: dict[str, Any]
    file: Path
    origin: dict[str, Any]
    status: str = ''
    sentence: str = ''
    numbers: dict | None = None
    tables: Sequence[Table] = ()
    figure: bytes | None = None
    observers: list[Observer] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Heading, with the model's name where models are looked at one by one."""
        of = f' of {self.models[0].name}' if self.section.subject.each else ''
        return self.section.title + of

    def attempt(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `work` returns; what it raises becomes the status."""
        try:
            return work(*arguments)
        except ConfigError as error:
            self.status, self.sentence = NOT_APPLICABLE, str(error)
        except Exception as error:  # of one analysis; the others are worth having
            self.status, self.sentence = FAILED, _tell(error)
        return None


@dataclass
class _Attempt:
    """An observer that fails alone."""

    part: Part
    observer: Observer

    @property
    def images(self) -> Sequence[int] | None:
        return self.observer.images

    def see(self, batch: SeenBatch) -> None:
        if not self.part.status:
            self.part.attempt(self.observer.see, batch)


def make_parts(
    sections: Sequence[tuple[Section, dict[str, Any]]],
    models: Sequence[TrainedModel],
    folder: Path,
) -> Iterator[Part]:
    """Run the sections; one that fails does not stop the others.

    All that only look on share one run of each model over its images.

    Args:
        sections: Each with its options.
        folder: For the files; need not exist.
    """
    parts = prepare(sections, models, folder)
    for model in models:
        watching = observers_in(parts, model)
        if watching:
            titles = ', '.join(attempt.part.section.title for attempt in watching)
            print(f'{model.name}, one run over the images: {titles}')
            _look_on(model, watching)
        # Now, not after all models: what is written is not lost with the next ones.
        for part in parts:
            seen = part.observers and part.models[-1] is model
            if seen and not part.status:
                _measure(part)
    yield from finish(parts)


def prepare(
    sections: Sequence[tuple[Section, dict[str, Any]]],
    models: Sequence[TrainedModel],
    folder: Path,
    reuse: bool = True,
) -> list[Part]:
    """Return the parts of a report, with what is known before a model runs.

    Args:
        reuse: Take what was measured before.
    """
    parts = list(_plan(sections, models, folder))
    for part in parts:
        if reuse:
            _take_over(part)
        if not part.status:
            found = part.attempt(observers_of, part.section, part.models, part.options)
            part.observers = found or []
    return parts


def observers_in(parts: Sequence[Part], model: TrainedModel) -> list['_Attempt']:
    """Return who wants to look on while a model runs; each fails alone."""
    return [
        _Attempt(part, observer)
        for part in parts
        for whose, observer in zip(part.models, part.observers, strict=False)
        if whose is model and not part.status
    ]


def finish(parts: Sequence[Part]) -> Iterator[Part]:
    """Measure what is left, and yield each part when it is done."""
    for number, part in enumerate(parts, 1):
        print(f'[{number}/{len(parts)}] {part.title}')
        if not part.status:
            _measure(part)
        yield part


def _look_on(model: TrainedModel, watching: Sequence[_Attempt]) -> None:
    """Run a model over its images; a run that fails ends what it was for, no more."""
    try:
        one_pass(model, watching)
    except Exception as error:
        sentence = str(error) if isinstance(error, ConfigError) else _tell(error)
        for part in [attempt.part for attempt in watching]:
            if not part.status:  # it may have failed before, by itself
                part.status, part.sentence = FAILED, sentence


def _tell(error: Exception) -> str:
    """Print where a bug is, and return it as a sentence."""
    traceback.print_exc()
    return f'{type(error).__name__}: {error}'


def _plan(
    sections: Sequence[tuple[Section, dict[str, Any]]],
    models: Sequence[TrainedModel],
    folder: Path,
) -> Iterator[Part]:
    """Give each section its models, file and origin."""
    environment = describe_environment()
    for section, options in sections:
        each = section.subject.each
        for number, whose in enumerate([[m] for m in models] if each else [models], 1):
            stem = section.name
            if each and len(models) > 1:
                stem += f'-{number}-{re.sub(r"[^0-9A-Za-z]+", "_", whose[0].name)}'
            made_from = origin_of(section, section.subject.of(whose), options)
            origin = dict(made_from, **environment)
            yield Part(section, whose, options, folder / f'{stem}.json', origin)


def _take_over(part: Part) -> None:
    """Take what was measured before, by a report or by the section's script."""
    if any(is_remote(str(model.checkpoint)) for model in part.models):
        return  # what is there now is not known
    beside = Path(part.models[0].checkpoint).parent / f'{part.section.name}.json'
    for file in (part.file, beside):
        try:
            kept = json.loads(file.read_text())
            if kept['tool'] != part.section.name:
                continue
            jsonschema.validate(kept['numbers'], part.section.work.SCHEMA)
            if not is_same_origin(kept['origin'], part.origin):
                continue
            figure = None
            if part.section.shows:
                figure = file.with_suffix('.png').read_bytes()
                if not (figure.startswith(PNG_START) and figure.endswith(PNG_END)):
                    continue
        except (AttributeError, LookupError, OSError, TypeError, ValueError):
            continue  # missing or damaged
        except jsonschema.ValidationError:
            continue  # of an earlier version
        part.file, part.origin, part.status = file, kept['origin'], REUSED
        part.numbers, part.figure = kept['numbers'], figure
        part.tables = part.section.work.tables(part.numbers)
        return


def _measure(part: Part) -> None:
    """Measure a part, or conclude what its observers saw; write and read it."""
    about = part.section.subject.of(part.models)
    work = conclude, part.section, about, part.options, part.observers
    if (found := part.attempt(*work)) is None:
        return
    part.status = MADE
    part.attempt(_finish, part, *found)


def _finish(part: Part, numbers: dict, figure: Figure | None) -> None:
    write_measured(part.file, part.section, part.origin, numbers, figure)
    part.numbers, part.tables = numbers, part.section.work.tables(numbers)
    if figure is not None:
        part.figure = part.file.with_suffix('.png').read_bytes()
