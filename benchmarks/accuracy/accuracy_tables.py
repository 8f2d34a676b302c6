"""Tables and curves of the studies that `paired.py` recorded."""

from collections.abc import Callable, Sequence

from benchmarks.accuracy.studies import STUDIES
from benchmarks.accuracy.variants import OF_A_VARIANT, Study
from benchmarks.recording import RESULTS, setting
from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.records.tables import markdown
from mmdet_qrpaq.sweeps.record import read_records
from mmdet_qrpaq.sweeps.summary import describe_budget, draw_curves
from mmdet_qrpaq.sweeps.table import (
    comparison,
    difference,
    routing_share,
    spread_of,
)

PAPER_SETTING = 'COCO, ResNet-50, 12 epochs'


def studied() -> dict[str, tuple[Study, dict[str, dict[int, dict]]]]:
    """Return studies and their records, by the folder of those."""
    found = {}
    for name, study in STUDIES.items():
        folders = (RESULTS / 'accuracy').glob(f'{name}*/')
        for folder in sorted(folders):
            if records := read_records(sorted(folder.glob('*.json'))):
                found[folder.name] = (study, records)
    return found


def decided(study: str) -> Callable[[], str]:
    """Return what makes the table of one study, for the page that decides by it."""

    def table() -> str:
        _, records = studied().get(study, (None, {}))
        return study_table(STUDIES[study], records) if records else 'Not measured yet.'

    return table


def study_table(study: Study, records: dict, brief: bool = False) -> str:
    """Return the table of a study, and what was measured where."""
    more = {}
    if study.paper:
        first = next(iter(study.variants))
        usual, _ = study.paper.get(first, (None, None))
        more = {
            f'AP, paper, %: {PAPER_SETTING}': {
                name: f'{ap:.1f}' for name, (ap, _) in study.paper.items()
            },
            'AP minus host, paper, %': {
                name: f'{ap - host:+.1f}' + f' (on {host})' * (host != usual)
                for name, (ap, host) in study.paper.items()
                if name != first
            },
        }
    measured_only = brief or is_apart(records)
    rows = [name for name in study.variants if name in records or not measured_only]
    table = comparison(records, rows, more=more, brief=brief)
    runs = flat(records)
    options = runs[0]['settings']['options']
    changed = ', '.join(
        f'`{key}={value}`' for key, value in options.items() if key not in OF_A_VARIANT
    )
    return (
        f'{table}\n\n`{study.leaf}`{changed and " with "}{changed}, {study.start}; '
        f'{describe_budget(records)}; mean ± standard deviation over seeds; '
        f'{setting(*runs)}.'
    )


def side_by_side(names: Sequence[str]) -> str:
    """Return one table of several studies, each variant beside its study's first."""
    rows, runs = [], []
    for name in names:
        study, records = studied().get(name, (STUDIES[name], {}))
        first, *_ = study.variants
        for variant in study.variants:
            by_seed = records.get(variant, {})
            runs += by_seed.values()
            cells = ['not run', *['-'] * 5]
            if by_seed:
                base = records.get(first, {})
                cells = [', '.join(map(str, by_seed))]
                for key in ('AP', 'AP_with_nms'):
                    cells += [spread_of(by_seed, key), difference(by_seed, base, key)]
                cells.append(routing_share(by_seed))
            rows.append([f'`{name}`' if variant == first else '', variant, *cells])
    head = ['study', 'reading', 'seeds', 'AP', 'AP minus the first [95 %]']
    head += ['AP with NMS', 'the same with NMS [95 %]']
    head += ['share entering, F / SA / CA']
    table = markdown(head, rows, words=(0, 1))
    return f'{table}\n\n{setting(*runs)}.' if runs else 'Not measured yet.'


def method_studies() -> dict[str, tuple[Study, dict[str, dict[int, dict]]]]:
    """Return those that ask what the methods bring; the others decide something."""
    return {
        name: found for name, found in studied().items() if name.startswith('methods_')
    }


def flat(records: dict[str, dict[int, dict]]) -> list[dict]:
    """Return the records of all variants and seeds."""
    return [run for by_seed in records.values() for run in by_seed.values()]


def is_apart(records: dict[str, dict[int, dict]]) -> bool:
    """Tell whether a tag keeps them apart: a repetition, another budget or machine."""
    return any('tag' in run['settings'] for run in flat(records))


def question(study: Study, records: dict) -> str:
    """Return what a study asks, and of which data."""
    return f'{study.question.rstrip("?")}, on {describe_budget(records).split(",")[0]}?'


def tables() -> str:
    """Return all that was measured of the methods, with AP curves."""
    parts = []
    for name, (study, records) in method_studies().items():
        parts += [f'## {name}', question(study, records), study_table(study, records)]
        parts.append(f'![AP curves](images/accuracy_{name}.png)')
    return '\n\n'.join(parts) or 'Not measured yet.'


def summary() -> str:
    """Return the same, in short: paper and measured; without what a tag keeps apart."""
    parts = []
    for study, records in method_studies().values():
        if is_apart(records):
            continue
        parts += [
            f'**{question(study, records)}**',
            study_table(study, records, brief=True),
        ]
    return '\n\n'.join(parts) or 'Not measured yet.'


def draw_curves_of_methods() -> None:
    """Draw the AP curves of those studies, for the page."""
    for name, (study, records) in method_studies().items():
        variants = [variant for variant in study.variants if variant in records]
        figure = draw_curves(records, variants, describe_budget(records))
        figure.savefig(ROOT / 'docs' / 'images' / f'accuracy_{name}.png', dpi=110)
