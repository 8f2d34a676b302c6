"""Looks through the annotation files that a config names, and mends them in copies."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ..annotations import (
    Annotations,
    Mend,
    check_annotations,
    find_mends,
    read_annotations,
    write_mended,
)
from ..errors import ConfigError
from ..finding import Finding, Severity
from .datasets import Place, annotation_places


@dataclass(frozen=True)
class Examined:
    """What the data of a config are like.

    Attributes:
        findings: What is wrong, the worst first in each file.
        mends: By the path of a file: what a copy of it has to mend.
        places: Where the config names them.
        settings: Dotted keys of the config and the values that they need.
        read: By the path of a file: what is in it.
    """

    findings: list[Finding]
    mends: dict[str, list[Mend]]
    places: list[Place]
    settings: dict[str, Any]
    read: dict[str, Annotations]


def examine(
    cfg: Config,
    stages: Iterable[str],
    classes: tuple[str, ...] | None = None,
    headers: int | None = None,
) -> Examined:
    """Read the annotation files that a run would use, and look for faults.

    Args:
        classes: In the order of a checkpoint's labels, if one is loaded.
        headers: How many image files of each file are opened; `None`: some.

    Raises:
        ConfigError: See `annotation_places`; or a file cannot be read.
    """
    places = annotation_places(cfg, stages)
    places, settings = _in_one_order(places, classes)
    if headers is not None:
        places = [replace(p, use=replace(p.use, headers=headers)) for p in places]
    findings, mends, read = [], {}, {}
    for path in dict.fromkeys(place.path for place in places):
        found = read[path] = read_annotations(path)
        for use in (place.use for place in places if place.path == path):
            findings += check_annotations(found, use)
            needed = {mend.kind: mend for mend in find_mends(found, use)}
            mends[path] = {**needed, **mends.get(path, {})}
    findings += _no_objects(places, read)
    images = {path: _images(found) for path, found in read.items()}
    findings += _strangers(places, images) + _parts(places) + _learned_too(places)
    findings += [m.finding(path) for path in mends for m in mends[path].values()]
    mends = {path: [*kinds.values()] for path, kinds in mends.items() if kinds}
    return Examined([*dict.fromkeys(findings)], mends, places, settings, read)


def use_sound_data(
    cfg: Config,
    stages: Iterable[str],
    folder: Path,
    classes: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """Look through the data of a run, and tell what is doubtful or had to be mended.

    Args:
        folder: For the copies of files that need mending.
        classes: See `examine`.

    Returns:
        The settings that let the run read what is sound.

    Raises:
        ConfigError: With the first fault that no copy can mend; or see `examine`.
    """
    examined = examine(cfg, stages, classes)
    faults = [f for f in examined.findings if f.severity == Severity.ERROR]
    if faults:
        kinds = len({fault.kind for fault in faults}) - 1
        more = (
            f' ({kinds} more {"kind" if kinds == 1 else "kinds"} of fault in the data: '
            f'python -m mmdet_qrpaq.doctor {cfg.filename}, with the same '
            '--cfg-options if there were any, shows all).'
        )
        sentence = str(faults[0])
        raise ConfigError(f'{sentence.removesuffix(".")}{more}' if kinds else sentence)
    for finding in examined.findings:
        if finding.severity == Severity.WARNING:
            print_log(f'warning: {finding}')
    examined.read.clear()  # writing takes memory of its own
    settings, said = write_copies(examined, folder)
    for sentence in said:
        print_log(sentence)
    return settings


def write_copies(examined: Examined, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Write the copies of files that need mending.

    Returns:
        The settings that let the run read them, and a sentence about each.

    Raises:
        ConfigError: If one cannot be written.
    """
    settings, said = dict(examined.settings), []
    taken: set[str] = set()
    for path, mends in examined.mends.items():
        copy = (folder / _free_name(Path(path), taken)).absolute()
        write_mended(path, mends, copy)
        for place in examined.places:
            if place.path == path:
                settings[f'{place.use.key}.ann_file'] = str(copy)
        faults = ' and '.join(f'{mend.fault} (there, {mend.change})' for mend in mends)
        said.append(f'{path} is read from the copy {copy}: {faults}.')
    return settings, said


def _in_one_order(
    places: list[Place], classes: tuple[str, ...] | None
) -> tuple[list[Place], dict[str, Any]]:
    """Let the same classes have the same labels wherever they are named.

    Args:
        classes: Of a checkpoint, which come first if they are the same ones.

    Returns:
        The places with their classes in order, and the settings of data sets in which
        they were in another.
    """
    if places and (classes is None or {*classes} != {*places[0].use.classes}):
        classes = places[0].use.classes
    ordered, settings = [], {}
    for place in places:
        use = place.use
        if use.classes != classes and {*use.classes} == {*classes}:
            if not use.judged:
                settings[f'{use.key}.metainfo.classes'] = classes
            use = replace(use, classes=classes)
        ordered.append(replace(place, use=use))
    return ordered, settings


def _images(found: Annotations) -> frozenset[tuple[int | float | str, str]]:
    """Return what tells images apart: id, and name without the folders before it."""
    ids, names = found.images['id'], found.images['file_name']
    return frozenset(
        (key, os.path.basename(str(name)))
        for key, name in zip(ids, names, strict=True)
        if isinstance(key, int | float | str)
    )


def _strangers(places: list[Place], images: dict[str, frozenset]) -> list[Finding]:
    """Find images that only a stage, or only its evaluator, knows."""
    findings = []
    for judge in (place for place in places if place.use.judged):
        stage = judge.use.key.partition('_')[0]
        loaded = frozenset().union(
            *(
                images[place.path]
                for place in places
                if place.use.key.startswith(f'{stage}_dataloader')
            )
        )
        lacks, has = loaded - images[judge.path], images[judge.path] - loaded
        if not lacks and not has:
            continue
        first = min(name for _, name in lacks or has)
        differs = [f'lacks {len(lacks)} images of the data loader'] if lacks else []
        if has:
            differs.append(f'has {len(has)} that it does not load')
        what = ' and '.join(differs)
        findings.append(
            Finding(
                Severity.ERROR,
                'evaluator-images',
                f'{judge.use.key}.ann_file',
                f'{judge.path} {what} (the first is {first})',
                'both must name the same annotations (--cfg-options '
                f'{judge.use.key}.ann_file=FILE)',
                len(lacks) + len(has),
            )
        )
    return findings


def _learned_too(places: list[Place]) -> list[Finding]:
    """Find files that are learned from and predicted on."""
    read = [(os.path.realpath(p.path), p.use) for p in places if not p.use.judged]
    learned = {path: use.key for path, use in reversed(read) if use.learned}
    return [
        Finding(
            Severity.WARNING,
            'leak-file',
            f'{use.key}.ann_file',
            f'{learned[path]} names {path} as well, and a result on images that were '
            'learned is too good',
            'name a file of other images',
        )
        for path, use in read
        if path in learned and not use.learned
    ]


def _parts(places: list[Place]) -> list[Finding]:
    """Find data sets of which only some images are used, unlike in the checks."""
    return [
        Finding(
            Severity.WARNING,
            'indices',
            f'{place.use.key}.indices',
            'only some images are used, but all of '
            f'{place.path} were looked at, and an evaluator compares with all',
            'write these images to an ann_file of their own, and leave indices out',
        )
        for place in places
        if place.use.partly
    ]


def _no_objects(places: list[Place], read: dict[str, Annotations]) -> list[Finding]:
    """Find a training, and evaluators, whose files hold no object at all."""
    empty = {}
    learned = [place.path for place in places if place.use.learned]
    if learned and not any(len(read[path]) for path in learned):
        empty[learned[0]] = (
            'the annotation files of train_dataloader contain no object to learn from'
        )
    for place in places:
        if place.use.judged and not len(read[place.path]):
            empty.setdefault(
                place.path,
                f'it contains no object for {place.use.key} to compare with',
            )
    return [
        Finding(Severity.ERROR, 'nothing-usable', path, what, 'choose another ann_file')
        for path, what in empty.items()
    ]


def _free_name(path: Path, taken: set[str]) -> str:
    """Return a file name for a copy, with as many folders in it as tell it apart."""
    name = path.name
    for folder in path.absolute().parents:
        if name not in taken:
            break
        name = f'{folder.name}_{name}'
    taken.add(name)
    return name
