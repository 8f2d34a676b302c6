"""What the commands over sweeps share: how a sweep is driven and summed up."""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdet_qrpaq.records.results import require_writable_folder

from .execution import Sweep, make_slots
from .job import LOG
from .picture import draw_curves
from .plan import Run
from .record import read_records
from .scale import Scale
from .table import draw_up

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def scale_of(args: argparse.Namespace) -> Scale:
    """Return what the options say about size."""
    return Scale(
        small=args.small,
        epochs=args.epochs,
        iterations=args.iterations,
        image_size=args.image_size,
        batch_size=args.batch_size,
    )


def drive(
    runs: Sequence[Run],
    args: argparse.Namespace,
    records: Path,
    summary: Path,
    again: str = '--work-dir',
) -> None:
    """Run what is not recorded; keep `table.md` and `curves.png` up to date.

    Args:
        records: Folder of the records.
        summary: Folder of table and picture.
        again: The option that keeps runs with other settings apart.

    Raises:
        ConfigError: Options, or what lies there already, cannot work.
        SystemExit: A run failed (status 1), or Ctrl-C (130).
    """
    for folder in (args.work_dir, records, summary):
        require_writable_folder(str(folder), '--work-dir')

    def sum_up() -> None:
        write_summary(runs, records, summary)

    slots = make_slots(args.jobs, args.gpus)
    sweep = Sweep(runs, args.work_dir, records, slots, sum_up, again)
    if sweep.num_recorded:
        print(f'{sweep.num_recorded} of {len(runs)} runs are recorded already.')
    try:
        with _ends_like_ctrl_c():
            sweep.go()
    except KeyboardInterrupt:
        print('\nStopped. The same command goes on from the last checkpoints.')
        sys.exit(INTERRUPTED)
    sum_up()
    if sweep.failed:
        folders = (args.work_dir / run.file_name for run in sweep.failed)
        logs = '\n'.join(f'  {folder / LOG}' for folder in folders)
        print(f'{len(sweep.failed)} of {len(runs)} runs failed:\n{logs}')
        sys.exit(1)


def write_summary(runs: Sequence[Run], records: Path, folder: Path) -> None:
    """Write `table.md` and `curves.png` of the runs that are recorded."""
    paths = (records / f'{run.file_name}.json' for run in runs)
    results = read_records(path for path in paths if path.exists())
    if not results:
        return
    variants = list(dict.fromkeys(run.variant for run in runs))
    folder.mkdir(parents=True, exist_ok=True)
    budget = describe_budget(results)
    text = f'{draw_up(results, variants)}\n\n{budget}\n'
    (folder / 'table.md').write_text(text)
    draw_curves(results, variants, budget).savefig(folder / 'curves.png', dpi=160)


def describe_budget(results: dict[str, dict[int, dict]]) -> str:
    """Say on what and how long the runs trained, by variant where that differs."""
    budgets: dict[str, dict[str, None]] = {}
    for variant, by_seed in results.items():
        for record in by_seed.values():
            budgets.setdefault(_budget(record['settings']), {})[variant] = None
    if len(budgets) == 1:
        return next(iter(budgets))
    return '; '.join(f'{", ".join(names)}: {text}' for text, names in budgets.items())


def _budget(settings: dict[str, Any]) -> str:
    folder, size = settings['data']['folder'], settings['image_size']
    return (
        f'{folder}, {settings["iterations"]} iterations of {settings["batch_size"]} '
        f'pictures of {size} pixels (longest side)'
    )


@contextmanager
def _ends_like_ctrl_c() -> Iterator[None]:
    """Treat a closed terminal or a kill as Ctrl-C.

    SIGINT too: a shell's background jobs start with it ignored.
    """
    before = {name: signal.signal(name, _interrupt) for name in SIGNALS}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _interrupt(*_: Any) -> None:
    # A second one must not keep the processes from being ended.
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    raise KeyboardInterrupt
