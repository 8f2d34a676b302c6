#!/usr/bin/env python
"""Make data, train a small PaQ-DINO, test it, draw what it learned: `make demo`.

Everything lands in ``work_dirs/demo``. A step is skipped if it was done with the same
config, package and data, and a training that was stopped goes on from its last epoch.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

from demo_record import Record, fingerprint

ROOT = Path(__file__).resolve().parents[1]
CONFIG = Path('configs/paq_dino_r18_4e_digits.py')
DATA = Path('data/digits')
PACKAGE = 'mmdet_qrpaq'
FRAMEWORK = ('mmengine', 'mmcv', 'mmdet', 'torch')
METRICS = {
    'bbox_mAP': 'AP',
    'bbox_mAP_50': 'AP50',
    'bbox_mAP_75': 'AP75',
    'bbox_mAP_s': 'AP small',
    'bbox_mAP_m': 'AP medium',
    'bbox_mAP_l': 'AP large',
}


class Stop(Exception):
    """The demo cannot go on: a sentence for the user and an exit status."""

    def __init__(self, sentence: str, status: int = 2) -> None:
        super().__init__(sentence)
        self.status = status


def make_data(record: Record) -> str:
    """Make the data set; return its fingerprint."""
    tool = Path('tools/dataset/make_digits.py')
    inputs = fingerprint(*sorted(tool.parent.glob('*.py')))
    card = DATA / 'dataset.json'
    if not record.is_done('data', inputs, [card, DATA / 'train', DATA / 'val']):
        announce('data set')
        call([tool, '--out', DATA])
        record.write('data', inputs)
    return fingerprint(card)


def train(record: Record, work_dir: Path, data: str, options: list[str]) -> str:
    """Train, from the last epoch if possible; return what the result depends on."""
    package = find_package()
    sources = [
        path
        for path in sorted(package.rglob('*.py'))
        if path.relative_to(package).parts[0] not in ('analysis', '.mim')
    ]
    inputs = fingerprint(
        data,
        options,
        [importlib.metadata.version(name) for name in installed_framework()],
        CONFIG,
        *sorted(CONFIG.parent.glob('_base_/*.py')),
        *sources,
    )
    if record.is_done('train', inputs, [work_dir / 'last_checkpoint']):
        return inputs
    if record.read().get('training') not in (None, inputs):
        put_aside(record, work_dir)
    record.write('training', inputs)
    announce('training (Ctrl-C stops it; the same command resumes it)')
    call_mim('train', CONFIG, '--work-dir', work_dir, '--resume', *options)
    record.write('train', inputs)
    return inputs


def test(
    record: Record, work_dir: Path, checkpoint: Path, trained: str, options: list[str]
) -> None:
    """Test the checkpoint and write the AP table as Markdown and JSON."""
    outputs = [work_dir / 'ap_table.md', work_dir / 'ap_table.json']
    if record.is_done('test', trained, outputs):
        return
    announce('test')
    folder = work_dir / 'test'
    call_mim('test', CONFIG, '--checkpoint', checkpoint, '--work-dir', folder, *options)
    logs = sorted(folder.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    metrics = json.loads(logs[-1].read_text())
    values = {key.removeprefix('coco/'): value for key, value in metrics.items()}
    # COCO's value for 'there is no object of this size' is -1.
    table = {
        'AP': {name: values[key] for key, name in METRICS.items() if values[key] >= 0},
        'AP by class': {
            key.removesuffix('_precision'): value
            for key, value in values.items()
            if key.endswith('_precision')
        },
    }
    outputs[0].write_text(markdown(table))
    outputs[1].write_text(json.dumps(table, indent=1) + '\n')
    record.write('test', trained)


def draw(
    record: Record, work_dir: Path, checkpoint: Path, trained: str, options: list[str]
) -> None:
    """Draw the three pictures, each with the tool a user would call, and its JSON."""
    tools = Path('tools/analysis')
    sources = [
        *sorted(tools.glob('*.py')),
        *sorted(Path(PACKAGE).glob('analysis/*.py')),
    ]
    inputs = fingerprint(trained, *sources)
    pictures = {
        'curves.png': [tools / 'training_curves.py', work_dir],
        'val_predictions.png': [tools / 'side_by_side.py', CONFIG, checkpoint],
        'query_usage.png': [tools / 'query_usage.py', CONFIG, checkpoint],
    }
    for name, command in pictures.items():
        picture = work_dir / name
        numbers = picture.with_suffix('.json')
        if record.is_done(name, inputs, [picture, numbers]):
            continue
        announce(name)
        command += ['--out', numbers]
        if CONFIG in command:
            command += options
        call(command)
        record.write(name, inputs)


def report(work_dir: Path) -> None:
    """Say how good it is and where everything lies."""
    table = json.loads((work_dir / 'ap_table.json').read_text())['AP']
    gini = read_gini(work_dir)
    announce(f'AP {table["AP"]:.3f}, AP50 {table["AP50"]:.3f} on {DATA}/val')
    for name, what in (
        ('ap_table.md', 'AP table, per class too'),
        ('curves.png', 'loss and AP curves'),
        ('val_predictions.png', 'ground truth beside predictions'),
        (
            'query_usage.png',
            f'hits per query, Gini {gini:.2f} (1: one query does all)',
        ),
    ):
        print(f'  {work_dir / name}: {what}')


def read_gini(work_dir: Path) -> float:
    """Return the Gini coefficient of the matched queries."""
    result = json.loads((work_dir / 'query_usage.json').read_text())
    return result['numbers']['models'][0]['gini']


def markdown(table: dict[str, dict[str, float]]) -> str:
    """Write each group of the AP table as one Markdown table."""
    lines = []
    for group, values in table.items():
        lines += [f'| {group} | |', '|---|---|']
        lines += [f'| {name} | {value:.3f} |' for name, value in values.items()]
        lines.append('')
    return '\n'.join(lines)


def put_aside(record: Record, work_dir: Path) -> None:
    """Keep a run of another config, package or data under another name."""
    data = record.read().get('data')
    kept = work_dir.with_name(f'{work_dir.name}-{time.strftime("%Y%m%d-%H%M%S")}')
    work_dir.rename(kept)
    announce(f'config, package or data changed; the earlier run is now {kept}')
    if data:
        record.write('data', data)


def find_package() -> Path:
    """Return the folder of the package that `mim` runs."""
    for name in (PACKAGE, 'mim'):
        if importlib.util.find_spec(name) is None:
            raise Stop(
                f'{name} is not installed for {sys.executable}; run `make demo`, which '
                'installs what is missing.'
            )
    return Path(importlib.util.find_spec(PACKAGE).origin).parent


def installed_framework() -> list[str]:
    """Return the distributions in use: upstream's, or the OneDL forks of them."""
    owners = importlib.metadata.packages_distributions()
    return sorted({owner for name in FRAMEWORK for owner in owners.get(name, ())})


def call_mim(verb: str, *arguments: Any) -> None:
    """Run `mim VERB mmdet_qrpaq ...`.

    Not as `python -m mim`, which would look for the package in the current folder.
    """
    call([Path(sysconfig.get_path('scripts')) / 'mim', verb, PACKAGE, *arguments])


def call(arguments: list[Any]) -> None:
    """Run Python with arguments; whatever ends this process ends that one too.

    Raises:
        Stop: It failed; it has said why.
    """
    command = [sys.executable, *map(str, arguments)]
    # A session of its own: Ctrl-C then reaches only this process, which ends the whole
    # family (mim, training, data loading) without a traceback from each.
    child = subprocess.Popen(command, start_new_session=True)
    try:
        status = child.wait()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
        raise
    if status:
        raise Stop(f'stopped: {" ".join(command[1:])} failed, see above.', 1)


def announce(sentence: str) -> None:
    """Start a new step on the terminal."""
    print(f'\n== {sentence}', flush=True)


def interrupt(*_: Any) -> None:
    """Treat a closed terminal or a kill as Ctrl-C."""
    raise KeyboardInterrupt


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/demo'),
        help='folder for everything that is made (work_dirs/demo)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. train_cfg.max_epochs=12',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Do every step that is not done yet; return the exit status."""
    args = parse_args(argv)
    work_dir = args.work_dir.absolute()
    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    os.chdir(ROOT)
    if work_dir.is_relative_to(ROOT):
        work_dir = work_dir.relative_to(ROOT)
    # SIGINT too: a shell's background jobs start with it ignored.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, interrupt)
    record = Record(work_dir)
    try:
        data = make_data(record)
        training = train(record, work_dir, data, options)
        checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
        written = checkpoint.stat()
        trained = fingerprint(training, written.st_size, written.st_mtime_ns)
        test(record, work_dir, checkpoint, trained, options)
        draw(record, work_dir, checkpoint, trained, options)
        report(work_dir)
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print('\nStopped. Run the same command again: it resumes where it was.')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
