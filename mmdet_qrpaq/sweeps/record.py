"""What a finished run leaves behind: one JSON file, checked against its schema."""

import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema

from ..analysis.training.history import read_history
from ..data.image_sizes import longest_side
from ..errors import ConfigError
from ..records.metrics import AP_NAMES
from ..records.results import write_json
from ..records.schema import (
    COUNT,
    NUMBER,
    SHARE,
    TEXT,
    fields,
    list_of,
    or_none,
    table_of,
)
from .plan import Run

METRICS = {name: f'coco/{key}' for name, key in AP_NAMES.items()}
# Files in a run's folder.
MEASURES = 'measures.json'
LAST_VALIDATION = 'last_validation'

_CURVE = list_of(dict(type='array', items=NUMBER, minItems=2, maxItems=2))
_ENVIRONMENT = fields(
    date=TEXT,
    commit=or_none(TEXT),
    dirty=or_none(dict(type='boolean')),
    command=TEXT,
    python=TEXT,
    versions=table_of(TEXT),
    hardware=fields(device=TEXT, cores=COUNT),
)
_SETTINGS = fields(
    variant=TEXT,
    leaf=TEXT,
    options=dict(type='object'),
    small=dict(type='boolean'),
    seed=COUNT,
    epochs=or_none(COUNT),
    iterations=COUNT,
    image_size=COUNT,
    batch_size=COUNT,
    data=fields(folder=TEXT, train=TEXT, val=TEXT),
    digest=TEXT,
    at_a_time=COUNT,
    threads=COUNT,
)
_MEASURED = fields(
    **{name: or_none(SHARE) for name in METRICS},
    AP_with_nms=SHARE,
    AP_curve=_CURVE,
    loss_curve=_CURVE,
    routing=table_of(NUMBER),
    num_queries=COUNT,
    gini=or_none(SHARE),
    gini_confident=or_none(SHARE),
    step_seconds=NUMBER,
    peak_memory_mb=fields(resident=or_none(NUMBER), cuda=or_none(NUMBER)),
)
SCHEMA = fields(
    kind=dict(const='accuracy'),
    environment=_ENVIRONMENT,
    # A study adds its name.
    settings=dict(_SETTINGS, additionalProperties=TEXT),
    measured=_MEASURED,
)


def is_validated(run: Run, folder: Path) -> bool:
    """Tell whether the trained model was evaluated; a kill may have come first."""
    validation = read_history(folder).val
    return bool(validation) and validation[-1]['step'] == run.length


def write_record(
    run: Run,
    folder: Path,
    path: Path,
    *,
    environment: dict[str, Any],
    resident_mb: float | None,
    at_a_time: int,
    threads: int,
) -> None:
    """Write a finished run's record, whole or not at all.

    Args:
        folder: What training and counting left.
        path: Of the record.
        environment: What the run was started with.
        resident_mb: Peak of the training process, MiB.
        at_a_time: How many runs of the command shared the machine.
        threads: Of each; sums come out a little different with another number.

    Raises:
        ConfigError: The run logged no finite loss or no AP.
        jsonschema.ValidationError: The record is not what is promised: a bug.
    """
    measured = measure(folder, run.length)
    measured['peak_memory_mb']['resident'] = resident_mb
    settings = dict(
        settings_of(run),
        iterations=json.loads((folder / MEASURES).read_text())['iteration'],
        at_a_time=at_a_time,
        threads=threads,
    )
    record = dict(
        kind='accuracy',
        environment=environment,
        settings=settings,
        measured=measured,
    )
    jsonschema.validate(json.loads(json.dumps(record)), SCHEMA)
    write_json(path, record)


def settings_of(run: Run) -> dict[str, Any]:
    """Return what is recorded of a run's settings before it has run."""
    return dict(
        **run.extra,
        variant=run.variant,
        leaf=run.leaf,
        options=run.options,
        small=run.scale.small,
        seed=run.seed,
        epochs=run.config.train_cfg.get('max_epochs'),
        image_size=longest_side(run.config),
        batch_size=run.config.train_dataloader.batch_size,
        data=run.data,
        digest=run.digest,
    )


def measure(folder: Path, length: int) -> dict[str, Any]:
    """Collect what the logs of a run and the analysis of its model say.

    Args:
        length: Of the run, in what it is counted in.

    Raises:
        ConfigError: The run logged no finite loss or no AP.
    """
    history = read_history(folder)
    curve = [(entry['step'], entry[METRICS['AP']]) for entry in history.val]
    last = (history.val or [{}])[-1]
    if later := _last_validation(folder):
        last = later
        curve.append((length, last[METRICS['AP']]))
    if METRICS['AP'] not in last:
        raise ConfigError('no AP was logged.')
    if not all(math.isfinite(entry['loss']) for entry in history.train):
        raise ConfigError('the loss is not finite.')
    measures = json.loads((folder / MEASURES).read_text())
    memory = [entry['memory'] for entry in history.train if 'memory' in entry]
    return dict(
        # COCO's value for 'there is no object of this size' is -1.
        {name: last[key] if last[key] >= 0 else None for name, key in METRICS.items()},
        AP_with_nms=measures['AP_with_nms'],
        AP_curve=curve,
        loss_curve=[(entry['iter'], entry['loss']) for entry in history.train],
        routing={k: v for k, v in last.items() if k.startswith('routing/')},
        num_queries=measures['num_queries'],
        gini=measures['gini'],
        gini_confident=measures['gini_confident'],
        # Each is a mean over the iterations before; the first hold the start.
        step_seconds=statistics.median(entry['time'] for entry in history.train),
        peak_memory_mb=dict(resident=None, cuda=max(memory, default=None)),
    )


def read_digest(path: Path) -> str | None:
    """Return the digest of a recorded run; None in records older than digests."""
    return _read_record(path)['settings'].get('digest')


def read_records(paths: Iterable[Path]) -> dict[str, dict[int, dict]]:
    """Read records: variant, seed -> record. Seeds ascend."""
    records = map(_read_record, paths)
    found: dict[str, dict[int, dict]] = {}
    for record in sorted(records, key=lambda record: record['settings']['seed']):
        settings = record['settings']
        found.setdefault(settings['variant'], {})[settings['seed']] = record
    return found


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        return dict(record, settings=dict(record['settings']))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f'{path} is no record of a run ({type(error).__name__}); remove it, and '
            'the run is recorded anew.'
        ) from error


def _last_validation(folder: Path) -> dict[str, Any] | None:
    """Return the metrics of a test of the trained model, if one was needed."""
    logs = sorted((folder / LAST_VALIDATION).glob('*/*.json'))
    return json.loads(logs[-1].read_text()) if logs else None
