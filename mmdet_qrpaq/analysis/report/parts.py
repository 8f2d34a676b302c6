"""Runs the analyses that apply to some models, and keeps what they found.

Called by ``tools/analysis/report.py``. The analyses are listed in
:mod:`.report_sections`; :mod:`.report_page` makes the page. What an analysis found lies
in a folder as JSON and PNG and is taken from there as long as it was made from the same
weights, config, annotations, options and versions. To measure anew, remove the folder.
"""

import hashlib
import io
import json
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...errors import ConfigError
from ...records.provenance import describe_origin
from ...records.results import read_result, write_result
from ...runtime.checkpoints import is_remote
from ...version import __version__
from ..trained_detector import TrainedModel

MADE, REUSED, NOT_APPLICABLE, FAILED = 'made', 'reused', 'does not apply', 'failed'
# What tells when and how, not from what.
_CIRCUMSTANCES = ('command', 'date')
PICTURE_DPI = 130


@dataclass(frozen=True)
class Table:
    """A table of the page; the first column names the row.

    Attributes:
        words: Places of the columns that hold words, not numbers.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = (0,)


@dataclass(frozen=True)
class Section:
    """An analysis and how the page shows it.

    Attributes:
        name: Of the tool and of its files.
        title: Heading.
        how: How it was measured, in some sentences.
        shows: What the picture shows, in one sentence; empty without a picture.
        measure: Takes the models (one if `each`) and the options; returns the numbers
            and a picture or None. A `ConfigError` means that it does not apply.
        schema: Of the numbers.
        tables: Makes tables from the numbers.
        options: Keyword arguments of `measure`, as JSON types.
        each: Whether models are looked at one by one.
    """

    name: str
    title: str
    how: str
    shows: str
    measure: Callable[..., tuple[dict, Figure | None]]
    schema: dict
    tables: Callable[[dict], list[Table]]
    options: dict[str, Any]
    each: bool = False


@dataclass(frozen=True)
class Part:
    """A section's result for one model or for all.

    Attributes:
        section: What was asked.
        models: Names.
        status: `MADE`, `REUSED`, `NOT_APPLICABLE` or `FAILED`.
        sentence: Why not, else empty.
        file: Of the numbers.
        origin: What they were made from.
        tables: Of the page.
        picture: PNG.
    """

    section: Section
    models: list[str]
    status: str
    sentence: str = ''
    file: Path | None = None
    origin: dict[str, Any] | None = None
    tables: Sequence[Table] = ()
    picture: bytes | None = None


def make_parts(
    sections: Sequence[Section],
    models: Sequence[TrainedModel],
    folder: Path,
    announce: Callable[[str], object] = print,
) -> Iterator[Part]:
    """Run the sections one by one; one that fails does not stop the others.

    Args:
        folder: For the files; need not exist.
        announce: Gets a line before each part.
    """
    jobs = [
        (section, [model] if section.each else list(models), number)
        for section in sections
        for number, model in enumerate(models, 1)
        if section.each or number == 1
    ]
    # Once: to hash the weights of a large model takes a second.
    origins = {m.name: dict(m.origin, **fingerprint(m)) for m in models}
    for count, (section, chosen, number) in enumerate(jobs, 1):
        stem = section.name
        what = section.title
        if section.each and len(models) > 1:
            stem += f'-{number}-{re.sub(r"[^0-9A-Za-z]+", "_", chosen[0].name)}'
            what += f' of {chosen[0].name}'
        announce(f'[{count}/{len(jobs)}] {what}')
        origin = describe_origin(
            models=[origins[model.name] for model in chosen],
            split=chosen[0].split,
            options=section.options,
            package=__version__,
        )
        yield _make_part(section, chosen, folder / f'{stem}.json', origin)


def _make_part(
    section: Section, models: list[TrainedModel], file: Path, origin: dict[str, Any]
) -> Part:
    names = [model.name for model in models]
    status = REUSED
    if not _is_from(file, origin, section):
        status = MADE
        try:
            numbers, figure = section.measure(models, **section.options)
            picture = None if figure is None else _png(figure)
            file.parent.mkdir(parents=True, exist_ok=True)
            # The numbers last: they say that the picture is theirs.
            if picture is not None:
                file.with_suffix('.png').write_bytes(picture)
            write_result(file, section.name, origin, numbers, section.schema)
        except ConfigError as error:
            return Part(section, names, NOT_APPLICABLE, str(error))
        except Exception as error:  # of one analysis; the others are worth having
            traceback.print_exc()
            sentence = f'{type(error).__name__}: {error}'
            return Part(section, names, FAILED, sentence)
    result = read_result(file)
    picture = file.with_suffix('.png').read_bytes() if section.shows else None
    tables = section.tables(result['numbers'])
    return Part(section, names, status, '', file, result['origin'], tables, picture)


def _is_from(file: Path, origin: dict[str, Any], section: Section) -> bool:
    """Tell whether a result and its picture were made from just this."""
    if section.shows and not file.with_suffix('.png').is_file():
        return False
    try:
        kept = read_result(file)
    except ConfigError:
        return False
    if kept['tool'] != section.name:
        return False
    wanted = json.loads(json.dumps(origin))
    return all(
        kept['origin'].get(key) == wanted.get(key)
        for key in kept['origin'].keys() | wanted.keys()
        if key not in _CIRCUMSTANCES
    )


def fingerprint(model: TrainedModel) -> dict[str, str]:
    """Return what tells a model and its data from others: hashes of their contents."""
    settings = json.dumps(model.cfg.to_dict(), default=str, sort_keys=True)
    weights = 'not on this machine'
    if not is_remote(model.checkpoint):
        weights = _hash_file(Path(model.checkpoint))
    dataset = model.dataloader.dataset
    annotations = Path(str(getattr(dataset, 'ann_file', '')))
    data = _hash_file(annotations) if annotations.is_file() else 'unknown'
    hashed = hashlib.sha256(settings.encode()).hexdigest()[:12]
    return dict(config_hash=hashed, weights_hash=weights, annotations_hash=data)


def _hash_file(path: Path) -> str:
    total = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()[:12]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=PICTURE_DPI, facecolor='white')
    return buffer.getvalue()
