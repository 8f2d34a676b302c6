"""Measures what sections declare: for a script one of them, for the report all.

What only looks on while a model runs shares one run over the images; see `one_pass`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ..records.provenance import hash_file, hash_text
from ..records.results import write_figure, write_result
from ..runtime.checkpoints import is_remote
from .one_pass import Observer, one_pass
from .section import Section
from .trained_detector import TrainedModel
from .training_runs import Run, runs_of

FIGURE_DPI = 150

Subjects = Sequence[TrainedModel] | Sequence[Run]


def measure(
    section: Section, models: Subjects, options: dict[str, Any]
) -> tuple[dict, Figure | None]:
    """Return numbers and figure of one section alone.

    Raises:
        ConfigError: It does not apply.
    """
    observers = observers_of(section, models, options)
    for model, observer in zip(models, observers, strict=False):
        one_pass(model, [observer])
    return conclude(section, models, options, observers)


def observers_of(
    section: Section, models: Subjects, options: dict[str, Any]
) -> list[Observer]:
    """Return one observer for each model; none where the section needs its own run.

    Raises:
        ConfigError: The section does not apply.
    """
    if not hasattr(section.work, 'observe'):
        return []
    options = _settled(section, models, options)
    return [section.work.observe(model, **options) for model in models]


def conclude(
    section: Section,
    models: Subjects,
    options: dict[str, Any],
    observers: Sequence[Observer],
) -> tuple[dict, Figure | None]:
    """Return numbers and figure, once the observers have seen their images.

    Raises:
        ConfigError: The section does not apply.
    """
    if section.subject == 'runs':
        models = runs_of(models)
    options = _settled(section, models, options)
    if observers:
        return section.work.conclude(models, observers, **options)
    return section.work.measure(models, **options)


def _settled(
    section: Section, models: Subjects, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the options as they suit the models."""
    settle = getattr(section.work, 'settle', None)
    return settle(models, **options) if settle else options


def origin_of(
    section: Section,
    models: Subjects,
    options: dict[str, Any],
    hashes: dict[str, dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return what a section's numbers are made from, as JSON types.

    Args:
        hashes: What `fingerprint` returns, by the model's name, where it is known.
    """
    if section.subject == 'runs':
        runs = runs_of(models)
        return dict(
            names=[run.name for run in runs],
            work_dirs=[str(run.work_dir) for run in runs],
            log_sizes=[run.log_size for run in runs],
            options=options,
        )
    hashes = hashes or {model.name: fingerprint(model) for model in models}
    made_from = dict(
        models=[dict(model.origin, **hashes[model.name]) for model in models],
        split=models[0].split,
        options=options,
    )
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
        origin: See `provenance.describe_origin`.
    """
    file.unlink(missing_ok=True)  # of another figure
    if figure is not None:
        write_figure(file.with_suffix('.png'), figure, FIGURE_DPI)
    write_result(file, section.name, origin, numbers, section.work.SCHEMA)


def fingerprint(model: TrainedModel) -> dict[str, str]:
    """Return what tells a model and its data from others: hashes of their contents.

    Images are told by what the data set and the evaluator know of them, not by pixels.
    """
    settings = json.dumps(model.cfg.to_dict(), default=str, sort_keys=True)
    weights = 'none'
    if not model.is_untrained:
        path = Path(model.checkpoint)
        weights = 'not here' if is_remote(model.checkpoint) else hash_file(path)
    dataset = model.dataloader.dataset
    known = [dataset.get_data_info(image) for image in range(len(dataset))]
    evaluators = model.cfg.get(f'{model.split}_evaluator') or []
    evaluators = [evaluators] if isinstance(evaluators, dict) else evaluators
    files = [Path(str(evaluator.get('ann_file', ''))) for evaluator in evaluators]
    known += [hash_file(file) for file in files if file.is_file()]
    return dict(
        config_hash=hash_text(settings),
        weights_hash=weights,
        annotations_hash=hash_text(json.dumps(known, default=str)),
    )
