#!/usr/bin/env python
"""Time whole models against their host, stage by stage: predicting and training.

Writes benchmarks/results/model_speed_<family>_<device>.json, and a figure of how time
grows.
Protocol:

- Random weights, random images without padding, random objects: none of them changes
  the time, except that untrained routers let others enter than trained ones.
- All models of a case are in one process. Each repetition runs all of them, in an order
  drawn anew, and each is divided by the host of its repetition.
- Predicting is the normalised image to boxes; a training step is the losses and their
  gradients, without the optimizer, whose work is that of the parameters.
- Each case is written when it is done; the same command goes on with those left, and
  one with other cases adds them.
- A case is a batch size, a number of queries and a precision (half is bfloat16 on a
  CPU, float16 on CUDA); growth varies queries or objects alone, at the first batch
  size in single precision.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from mmdet_qrpaq.command_line import load_package, run
from mmdet_qrpaq.records.provenance import describe_environment

# Leaves that differ in their method alone; the first is the host.
FAMILIES = dict(
    dino=dict(
        host='dino_r50_12e',
        QR='qr_dino_r50_12e',
        PaQ='paq_dino_r50_12e',
        QRPaQ='qrpaq_dino_r50_12e',
    ),
    deformable=dict(
        host='deformable_detr_r50_12e',
        QR='qr_deformable_detr_r50_12e',
    ),
    deformable_pp=dict(
        host='deformable_detr_pp_r50_12e',
        PaQ='paq_deformable_detr_pp_r50_12e',
    ),
)
# What cases of one file share, and what joins the commands that measured them.
SAME = ('commit', 'dirty', 'versions', 'hardware')
THEN = '; then '
GROWTH = dict(queries=(100, 300, 900, 2000), objects=(0, 30, 100, 300))


class Case(NamedTuple):
    """What is run. `series` is 'grid', 'queries' or 'objects'."""

    series: str
    batch: int
    queries: int
    objects: int
    amp: bool


def cases(args: argparse.Namespace) -> Iterator[Case]:
    """Return the grid, then what grows."""
    for queries in args.queries:
        for batch in args.batches:
            for amp in (False, True) if args.amp else (False,):
                yield Case('grid', batch, queries, args.objects, amp)
    batch, queries = args.batches[0], args.queries[0]
    if 'queries' in args.growth:
        for number in GROWTH['queries']:
            yield Case('queries', batch, number, args.objects, False)
    if 'objects' in args.growth:
        for number in GROWTH['objects']:
            yield Case('objects', batch, queries, number, False)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--family', choices=FAMILIES, default='dino')
    add('--size', type=int, nargs=2, default=(800, 1333), metavar=('H', 'W'))
    add('--batches', type=int, nargs='+', default=[1, 2, 4], metavar='N')
    add('--queries', type=int, nargs='+', default=[300, 900], metavar='N')
    add('--objects', type=int, default=10, help='in each image, for training (10)')
    add('--amp', action='store_true', help='also in half precision')
    add('--growth', nargs='*', choices=GROWTH, default=list(GROWTH))
    add('--repeats', type=int, default=5, help='timed runs of each model (5)')
    add('--out', type=Path, help='the result, a .json file; the figure beside it')
    args = parser.parse_args(argv)
    if args.repeats < 2:
        parser.error('--repeats must be at least 2 for a spread.')
    if min(*args.size, *args.batches, *args.queries) < 1 or args.objects < 0:
        parser.error('--size, --batches and --queries must be positive.')
    recording.require_device(parser, args.device)
    name = f'model_speed_{args.family}_{args.device}'
    args.out = recording.out_path(parser, args.out, name)
    return args


def measured_before(path: Path, settings: dict, environment: dict) -> list[dict]:
    """Return cases of the file, whose command is noted before this one's.

    Raises:
        ConfigError: They are of other settings, other code or another machine.
    """
    from mmdet_qrpaq.errors import ConfigError

    if not path.exists():
        return []
    result = json.loads(path.read_text())
    before = result['environment']
    same = all(before[key] == environment[key] for key in SAME)
    if result['settings'] != settings or before['dirty'] or not same:
        raise ConfigError(
            f'{path} was measured with other settings, with other code or on another '
            'machine; remove it, or give another --out.'
        )
    commands = [*before['command'].split(THEN), environment['command']]
    environment['command'] = THEN.join(dict.fromkeys(commands))
    return result['measured']


def main(argv: list[str] | None = None) -> None:
    """Measure every case, write and draw."""
    args = parse(argv)

    load_package()
    import torch
    from mmengine.logging import MMLogger

    from benchmarks.speed.models_table import draw_growth
    from benchmarks.speed.models_timing import build, measure, steps
    from mmdet_qrpaq.errors import ConfigError

    environment = describe_environment(args.device)
    MMLogger.get_current_instance().setLevel('WARNING')
    family, size = FAMILIES[args.family], tuple(args.size)
    settings = dict(
        family=family,
        device=args.device,
        threads=torch.get_num_threads(),
        size=list(size),
        repeats=args.repeats,
        protocol=__doc__.partition('Protocol:')[2].strip(),
    )
    measured = measured_before(args.out, settings, environment)
    done = [tuple(case[field] for field in Case._fields) for case in measured]
    with Progress() as progress:
        for case in cases(args):
            if case in done:
                continue
            task = progress.add_task(
                f'{case.queries} queries, batch {case.batch}, {case.objects} objects'
                + ', half precision' * case.amp,
                total=steps(len(family), args.repeats),
            )
            detectors = {
                name: build(leaf, case.queries, args.device)
                for name, leaf in family.items()
            }
            try:
                measured.append(
                    measure(
                        detectors,
                        case,
                        size,
                        args.repeats,
                        lambda task=task: progress.advance(task),
                    )
                )
            except RuntimeError as error:
                if 'selected index k out of range' not in str(error):
                    raise
                raise ConfigError(
                    f'an image of {size[0]} x {size[1]} has fewer positions than '
                    f'{case.queries} queries; give a larger --size.'
                ) from error
            recording.write(args.out, 'model_speed', environment, settings, measured)
    print(f'written: {args.out}')
    if args.growth:
        figure = args.out.with_suffix('.png')
        draw_growth(measured, settings).savefig(figure, dpi=160)
        print(f'written: {figure}')


if __name__ == '__main__':
    run(main)
