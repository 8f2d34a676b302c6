"""Measures what sections declare: for a script one of them, for the report all.

What only looks on while a model runs shares one run over the images; see `one_pass`. A
`ConfigError` means that a section does not apply.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
from matplotlib.figure import Figure

from ..records.results import write_figure, write_json
from .one_pass import Observer, one_pass
from .section import Section
from .subjects import Run
from .trained_detector import TrainedModel

FIGURE_DPI = 150

Subjects = Sequence[TrainedModel] | Sequence[Run]


def measure(
    section: Section, subjects: Subjects, options: dict[str, Any]
) -> tuple[dict, Figure | None]:
    """Return numbers and figure of one section alone."""
    observers = observers_of(section, subjects, options)
    for model, observer in zip(subjects, observers, strict=False):
        one_pass(model, [observer])
    return conclude(section, subjects, options, observers)


def observers_of(
    section: Section, subjects: Subjects, options: dict[str, Any]
) -> list[Observer]:
    """Return one observer for each model; none where the section needs its own run."""
    observe = getattr(section.work, 'observe', None)
    return observe(subjects, **options) if observe else []


def conclude(
    section: Section,
    subjects: Subjects,
    options: dict[str, Any],
    observers: Sequence[Observer],
) -> tuple[dict, Figure | None]:
    """Return numbers and figure, once the observers have seen their images."""
    if observers:
        return section.work.conclude(subjects, observers)
    return section.work.measure(subjects, **options)


def origin_of(
    section: Section, subjects: Subjects, options: dict[str, Any]
) -> dict[str, Any]:
    """Return what a section's numbers are made from, as JSON types."""
    made_from = dict(section.subject.origin(subjects), options=options)
    return json.loads(json.dumps(made_from))


def write_measured(
    file: Path,
    section: Section,
    origin: dict[str, Any],
    numbers: dict,
    figure: Figure | None,
) -> None:
    """Write numbers and figure so that whoever finds the numbers has their figure.

    Args:
        file: Of the numbers; the figure's has the suffix .png.
        origin: What `origin_of` returns, and the environment.

    Raises:
        jsonschema.ValidationError: The numbers are not what the section promises: a
            bug.
    """
    jsonschema.validate(numbers, section.work.SCHEMA)
    file.unlink(missing_ok=True)  # of another figure
    if figure is not None:
        write_figure(file.with_suffix('.png'), figure, FIGURE_DPI)
    write_json(file, dict(tool=section.name, origin=origin, numbers=numbers))
