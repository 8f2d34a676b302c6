#!/usr/bin/env python
"""Train the variants of a study at equal budget, seed by seed, and record each run.

    python benchmarks/accuracy/paired.py methods_dino --seeds 0 1 2
    python benchmarks/accuracy/paired.py methods_dino --data data/mine --epochs 12

Same data, order and iterations for all variants of a seed. Runs that are recorded are
not done again, be it for another study; a stopped run goes on from its last checkpoint,
and a failing one leaves the others alone. Then `python benchmarks/tables.py` writes the
tables. Records: benchmarks/results/accuracy/STUDY[_DATA][_TAG]/.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from benchmarks.accuracy.studies import STUDIES
from benchmarks.accuracy.variants import CONFIGS, OF_A_VARIANT, Variant
from mmdet_qrpaq.command_line import add_config_options, load_package, run
from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.records.results import write_json
from mmdet_qrpaq.sweeps.options import add_sweep_options

if TYPE_CHECKING:
    from mmdet_qrpaq.sweeps.plan import Run

RESULTS = recording.RESULTS / 'accuracy'
# Settings in which the runs of one table differ.
OF_A_RUN = {'variant', 'seed', 'digest'}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('study', choices=STUDIES)
    parser.add_argument(
        '--variants', nargs='+', metavar='NAME', help='only these (default: all)'
    )
    add_sweep_options(parser)
    # The leaves of the studies are small already.
    parser.set_defaults(seeds=[0, 1, 2], small=False)
    add_config_options(parser)
    parser.add_argument(
        '--tag', help='keeps the records of another budget or machine apart'
    )
    parser.add_argument(
        '--work-dir', type=Path, default=ROOT / 'work_dirs' / 'accuracy'
    )
    args = parser.parse_args(argv)
    known = STUDIES[args.study].variants
    for name in args.variants or ():
        if name not in known:
            parser.error(f'no variant {name!r}: use {", ".join(map(repr, known))}')
    return args


def folder_name(args: argparse.Namespace, study: str | None = None) -> str:
    """Name what the records of a command, or of another study like it, lie in."""
    parts = [study or args.study, args.data and Path(args.data).name, args.tag]
    return '_'.join(re.sub(r'\W+', '_', part) for part in parts if part)


def plan_study(args: argparse.Namespace) -> list['Run']:
    """Plan seed by seed, so that a study stopped early compares all variants."""
    from mmdet_qrpaq.data.run import open_data
    from mmdet_qrpaq.settings.options import parse_settings
    from mmdet_qrpaq.sweeps.plan import plan_run
    from mmdet_qrpaq.sweeps.scale import Scale

    study = STUDIES[args.study]
    settings = parse_settings(args.cfg_options)
    data = open_data(args, args.work_dir) if args.data else None
    runs = []
    for seed in dict.fromkeys(args.seeds):
        for variant in dict.fromkeys(args.variants or study.variants):
            model, others = Variant.of(study.variants[variant])
            options = {**settings, 'model': model, **others}
            leaf, scale = str(CONFIGS / study.leaf), Scale.of(args)
            runs.append(plan_run(variant, seed, leaf, scale, data, options))
            # As it is recorded: without this machine's folders, and with the study.
            runs[-1].leaf = study.leaf
            runs[-1].extra = dict(study=args.study)
            if args.tag:
                runs[-1].extra['tag'] = args.tag
    return runs


def require_same_budget(runs: list['Run'], folder: Path) -> None:
    """Refuse to compare with what was trained on other data or another budget.

    Raises:
        ConfigError: A record of the folder differs in more than variant and seed.
    """
    from mmdet_qrpaq.errors import ConfigError
    from mmdet_qrpaq.sweeps.record import settings_of

    for path in sorted(folder.glob('*.json')):
        recorded = json.loads(path.read_text())['settings']
        planned = settings_of(runs[0])
        if planned['epochs'] is None:  # counted in iterations
            planned['iterations'] = runs[0].length
        for settings in (planned, recorded):
            options = settings.get('options', {}).items()
            settings['options'] = {k: v for k, v in options if k not in OF_A_VARIANT}
        for key in planned.keys() - OF_A_RUN:
            if planned[key] != recorded.get(key):
                raise ConfigError(
                    f'{path} was made with {key} = {recorded.get(key)}, and this is '
                    f'{planned[key]}; they cannot share a table: choose another --tag.'
                )


def take_over(runs: list['Run'], args: argparse.Namespace) -> None:
    """Copy the records of runs with the same settings from other studies.

    Of the same tag: it keeps another machine, or a repetition, apart.
    """
    from mmdet_qrpaq.sweeps.record import read_digest

    recorded = {}
    for study in STUDIES:
        for path in sorted((RESULTS / folder_name(args, study)).glob('*.json')):
            recorded.setdefault(read_digest(path), path)
    for planned in runs:
        path = RESULTS / folder_name(args) / f'{planned.file_name}.json'
        if planned.digest not in recorded or path.exists():
            continue
        source = recorded[planned.digest]
        record = json.loads(source.read_text())
        record['settings'].update(planned.extra, variant=planned.variant)
        record['settings'].setdefault('trained_for', '/'.join(source.parts[-2:]))
        write_json(path, record)


def main(argv: list[str] | None = None) -> None:
    """Run a study; exit status 1 if a run failed."""
    args = parse_args(argv)

    load_package()
    from mmdet_qrpaq.sweeps.execution import run_sweep

    if args.data:
        args.data = str(Path(args.data).absolute())
    folder = folder_name(args)
    args.work_dir = args.work_dir.absolute() / folder
    os.chdir(ROOT)  # where the leaves expect their data
    runs = plan_study(args)
    require_same_budget(runs, RESULTS / folder)
    take_over(runs, args)
    run_sweep(runs, args, RESULTS / folder, args.work_dir, again='--tag')


if __name__ == '__main__':
    run(main)
