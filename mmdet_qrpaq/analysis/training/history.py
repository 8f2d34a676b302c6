"""What a training run logged, read from the files that mmengine writes.

A resumed run is the union of the logs of its starts, where a later start replaces what
an earlier one had logged beyond the point of resuming.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConfigError
from ...records.metrics import AP_NAMES
from ..subjects import NO_LOG, logs_of

# Name in the JSON -> key in the log.
RECORDED = {name: f'coco/{AP_NAMES[name]}' for name in ('AP', 'AP50', 'AP75')}
AP = RECORDED['AP']


@dataclass
class History:
    """What a run logged.

    Attributes:
        train: Records with a loss, ascending; `iter` is the number of iterations done.
        val: Validation records, ascending; `step` is the epoch (or the iteration, for
            runs counted in iterations).
        by_epoch: Whether `step` of the validation records counts epochs.
    """

    train: list[dict] = field(default_factory=list)
    val: list[dict] = field(default_factory=list)
    by_epoch: bool = True


def read_history(work_dir: Path) -> History:
    """Join the logs of all starts of a run.

    Raises:
        ConfigError: There is no log with a loss in it.
    """
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for log in logs_of(work_dir):
        records = _read_records(log)
        losses = [record for record in records if 'loss' in record]
        if losses:
            # A resumed run counts iterations on, a fresh run from the start.
            first = losses[0]
            train = {n: r for n, r in train.items() if n < first['iter']}
            begin = first.get('epoch', first['iter'])
            val = {n: r for n, r in val.items() if n < begin}
        train |= {record['iter']: record for record in losses}
        val |= {
            record['step']: record
            for record in records
            if 'loss' not in record and not record.keys().isdisjoint(RECORDED.values())
        }
    if not train:
        raise ConfigError(NO_LOG.format(work_dir))
    by_epoch = any('epoch' in record for record in train.values())
    return History(
        [train[n] for n in sorted(train)], [val[n] for n in sorted(val)], by_epoch
    )


def _read_records(log: Path) -> list[dict]:
    """Read one JSON record a line; a last line cut off by a kill is left out."""
    records = []
    for line in log.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def curve(records: Sequence[dict], step: str, key: str) -> dict[str, list]:
    """Return `step` and `value` of one logged number, where it is finite."""
    finite = [r for r in records if math.isfinite(r.get(key, math.nan))]
    return dict(step=[r[step] for r in finite], value=[r[key] for r in finite])


def not_finite(history: History) -> int:
    """Return how many logged losses are no number: the run has diverged there."""
    return sum(not math.isfinite(record['loss']) for record in history.train)
