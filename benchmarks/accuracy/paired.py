#!/usr/bin/env python
"""Trains the variants of a study at equal budget, seed by seed, and records each run.

python benchmarks/accuracy/paired.py routing_policy --seeds 0 1 2

Same data, order and iterations for all variants of a seed. Runs that are recorded are
not done again, a stopped run goes on from its last epoch, and a failing one leaves the
others alone. Results: benchmarks/results/accuracy/STUDY/VARIANT_seedN.json.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import recording
from mmengine.config import Config
from rich.console import Console
from studies import STUDIES

ROOT = recording.ROOT
AP_KEYS = dict(
    AP='coco/bbox_mAP',
    AP50='coco/bbox_mAP_50',
    AP75='coco/bbox_mAP_75',
    APs='coco/bbox_mAP_s',
    APm='coco/bbox_mAP_m',
    APl='coco/bbox_mAP_l',
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('study', choices=STUDIES)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--variants', nargs='+', metavar='NAME', help='only these (default: all)'
    )
    parser.add_argument('--epochs', type=int, default=4)
    parser.add_argument(
        '--image-size', type=int, default=128, help='longest side, pixels'
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='runs at a time, which share out the processor cores (default: 1)',
    )
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/accuracy')
    args = parser.parse_args(argv)
    known = STUDIES[args.study].variants
    for name in args.variants or ():
        if name not in known:
            parser.error(f'no variant {name!r}: use {", ".join(map(repr, known))}')
    return args


def slug(variant: str) -> str:
    """A variant's name as a file name."""
    return re.sub(r'\W+', '_', variant)


def result_name(study: str, variant: str, seed: int) -> str:
    """Where a run is recorded, below benchmarks/results."""
    return f'accuracy/{study}/{slug(variant)}_seed{seed}'


def make_config(args: argparse.Namespace, variant: str, seed: int) -> Config:
    """The study's leaf at the budget of the command, with the variant's settings."""
    study = STUDIES[args.study]
    cfg = Config.fromfile(ROOT / 'configs' / study.leaf)
    cfg.merge_from_dict(dict(model=study.variants[variant]))
    cfg.randomness = dict(seed=seed)
    cfg.train_cfg.max_epochs = args.epochs
    for scheduler in cfg.param_scheduler:
        if scheduler.type == 'CosineAnnealingLR':
            scheduler.update(end=args.epochs, T_max=args.epochs)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            if transform.type == 'Resize':
                transform.scale = (args.image_size, args.image_size)
    if cfg.model.get('query_routing'):
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='QueryRoutingHook')]
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
    return cfg


def train(cfg: Config, folder: Path, threads: int) -> int:
    """Trains in a process of its own, from where it stopped; its exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / 'run.py'
    cfg.dump(config)
    command = [sys.executable, 'tools/train.py', config, '--work-dir', folder]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    with (folder / 'train.log').open('a') as log:
        return subprocess.run(
            [*map(str, command), '--resume'],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def read_log(folder: Path) -> tuple[list[dict], list[dict]]:
    """Training and validation entries of all logs of a run, in order."""
    training, validation = {}, {}
    for log in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                training[entry['iter']] = entry
            elif AP_KEYS['AP'] in entry:
                validation[entry['step']] = entry
    return [training[i] for i in sorted(training)], [
        validation[i] for i in sorted(validation)
    ]


def fingerprint(cfg: Config) -> dict[str, str]:
    """Short digests of the annotation files, which name the pictures."""
    root = Path(cfg.train_dataloader.dataset.data_root)
    files = [
        root / loader.dataset.ann_file
        for loader in (cfg.train_dataloader, cfg.val_dataloader)
    ]
    return {
        str(file): hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:16]
        for file in files
    }


def run_one(args: argparse.Namespace, variant: str, seed: int, say) -> bool:
    """One run, recorded; True if it is there afterwards."""
    name = result_name(args.study, variant, seed)
    label = f'{variant}, seed {seed}'
    if (recording.RESULTS / f'{name}.json').exists():
        say(f'{label}: recorded already')
        return True
    cfg = make_config(args, variant, seed)
    folder = args.work_dir / args.study / f'{slug(variant)}_seed{seed}'
    threads = max(1, len(os.sched_getaffinity(0)) // args.jobs)
    if status := train(cfg, folder, threads):
        say(f'[red]{label}: failed with status {status}[/], see {folder}/train.log')
        return False
    training, validation = read_log(folder)
    last = validation[-1]
    recording.write(
        name,
        'accuracy',
        dict(
            study=args.study,
            variant=variant,
            leaf=STUDIES[args.study].leaf,
            model=STUDIES[args.study].variants[variant],
            seed=seed,
            epochs=args.epochs,
            iterations=training[-1]['iter'],
            image_size=args.image_size,
            batch_size=cfg.train_dataloader.batch_size,
            data=fingerprint(cfg),
        ),
        dict(
            **{short: last[key] for short, key in AP_KEYS.items()},
            AP_curve=[entry[AP_KEYS['AP']] for entry in validation],
            loss_curve=[[entry['iter'], entry['loss']] for entry in training],
            routing={k: v for k, v in last.items() if k.startswith('routing/')},
        ),
    )
    say(f'{label}: AP {last[AP_KEYS["AP"]]:.3f}')
    return True


def main(argv: list[str] | None = None) -> None:
    """Runs a study; exit status 1 if a run failed."""
    args = parse_args(argv)
    variants = args.variants or list(STUDIES[args.study].variants)
    # Seed by seed, so that a study stopped early still compares all its variants.
    runs = [(variant, seed) for seed in args.seeds for variant in variants]
    console = Console()
    with (
        console.status('') as status,
        ThreadPoolExecutor(args.jobs) as pool,
    ):
        done = 0

        def job(run: tuple[str, int]) -> bool:
            nonlocal done
            succeeded = run_one(args, *run, console.print)
            done += 1
            status.update(f'{done} of {len(runs)} runs')
            return succeeded

        status.update(f'0 of {len(runs)} runs')
        results = list(pool.map(job, runs))
    if not all(results):
        sys.exit(f'{results.count(False)} of {len(results)} runs failed.')


if __name__ == '__main__':
    main()
