#!/usr/bin/env python
"""Make data, train a small PaQ-DINO, test it, draw what it learned: `make demo`.

Everything lands in `work_dirs/demo`. A step is skipped if it was done with the same
config, package and data, and a training that was stopped goes on from its last epoch.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap_lib.running import clock
from demo_progress import Stop, TrainingProgress, call
from demo_record import Record, fingerprint
from demo_report import as_markdown, precision_table, show

__arguments_first__ = True
ROOT = Path(__file__).resolve().parents[1]
CONFIG = Path('configs/paq_dino_r18_digits_demo.py')
DATA = Path('data/digits')
PACKAGE = 'mmdet_qrpaq'
FRAMEWORK = ('mmengine', 'mmcv', 'mmdet', 'torch')
# What a step does, as told on the screen; its name is that of its log and its files.
STEPS = dict(
    data='data set: digits on photographs',
    train='training',
    test='AP on images it was not trained on',
    curves='figure: loss and AP',
    val_predictions='figure: truth beside predictions',
    query_usage='figure: how often each query is used',
)


@dataclass
class Demo:
    """The steps; each is skipped if it is done.

    Attributes:
        work_dir: Where everything goes but the data.
        options: `--cfg-options` and its words, or nothing.
        verbose: Whether to show all that the commands print.
    """

    work_dir: Path
    options: list[str]
    verbose: bool

    @property
    def record(self) -> Record:
        """What was done before."""
        return Record(self.work_dir)

    def make_data(self) -> str:
        """Make the data set; return its fingerprint."""
        tool = Path('tools/dataset/make_digits.py')
        inputs = fingerprint(*sorted(tool.parent.glob('*.py')))
        card = DATA / 'dataset.json'
        if not self.record.is_done(
            'data', inputs, [card, DATA / 'train', DATA / 'val']
        ):
            self.run('data', [tool, '--out', DATA])
            self.record.write('data', inputs)
        return fingerprint(card)

    def train(self, data: str) -> str:
        """Train, from the last epoch if possible; return what the result depends on."""
        from mmdet_qrpaq.records.provenance import installed_versions

        package = find_package()
        sources = [
            path
            for path in sorted(package.rglob('*.py'))
            if path.relative_to(package).parts[0] not in ('analysis', '.mim')
        ]
        inputs = fingerprint(
            data,
            self.options,
            installed_versions(*FRAMEWORK),
            *sorted(CONFIG.parent.glob('*_digits*.py')),
            *sorted(CONFIG.parent.glob('_base_/*.py')),
            *sources,
        )
        if self.record.is_done('train', inputs, [self.work_dir / 'last_checkpoint']):
            return inputs
        goes_on = self.record.read().get('training') == inputs
        if not goes_on and 'training' in self.record.read():
            self.put_aside()
        self.record.write('training', inputs)
        print('Training. Ctrl-C stops it; the same command resumes it.', flush=True)
        words = ['--work-dir', self.work_dir, '--resume', *self.options]
        self.run(
            'train',
            [tool('train'), CONFIG, *words],
            TrainingProgress().describe,
            goes_on=goes_on,
        )
        self.record.write('train', inputs)
        return inputs

    def test(self, checkpoint: Path, trained: str) -> None:
        """Test the checkpoint and write the AP table as Markdown and JSON."""
        outputs = [self.work_dir / f'ap_table.{suffix}' for suffix in ('md', 'json')]
        if self.record.is_done('test', trained, outputs):
            return
        folder = self.work_dir / 'test'
        words = [checkpoint, '--work-dir', folder, *self.options]
        self.run('test', [tool('test'), CONFIG, *words])
        logs = sorted(folder.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
        table = precision_table(json.loads(logs[-1].read_text()))
        outputs[0].write_text(as_markdown(table) + '\n')
        outputs[1].write_text(json.dumps(table, indent=1) + '\n')
        self.record.write('test', trained)

    def draw(self, checkpoint: Path, trained: str) -> None:
        """Draw three figures, each with the tool a user would call, and its JSON."""
        tools = Path('tools/analysis')
        sources = [
            *sorted(tools.glob('*.py')),
            *sorted(Path(PACKAGE).glob('analysis/**/*.py')),
        ]
        inputs = fingerprint(trained, *sources)
        model = [CONFIG, checkpoint]
        best = ['--score-threshold', 'best']
        figures = {
            'curves': [tools / 'training_curves.py', self.work_dir],
            'val_predictions': [tools / 'side_by_side.py', *model, *best],
            'query_usage': [tools / 'query_usage.py', *model],
        }
        for name, command in figures.items():
            figure, numbers = (
                self.work_dir / f'{name}.{kind}' for kind in ('png', 'json')
            )
            if self.record.is_done(figure.name, inputs, [figure, numbers]):
                continue
            options = self.options if CONFIG in command else []
            self.run(name, [*command, '--out', numbers, *options])
            self.record.write(figure.name, inputs)

    def run(
        self,
        step: str,
        command: list[Any],
        describe: Callable[[str, float], str] | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        """Run a step's command, time it, and leave one line on the screen.

        Args:
            step: One of `STEPS`.
            command: What follows `python`.
            describe: See `call`.
            goes_on: Whether the step was begun before.
        """
        log = self.work_dir / f'{step}.log'
        started = time.monotonic()
        with self.record.timed(step, goes_on=goes_on):
            call(command, log, STEPS[step], describe, verbose=self.verbose)
        took = clock(time.monotonic() - started)
        print(f'      {took}  {STEPS[step]} ({log})', flush=True)

    def put_aside(self) -> None:
        """Keep a run of another config, package or data under another name."""
        now = time.strftime('%Y%m%d-%H%M%S')
        kept = self.work_dir.with_name(f'{self.work_dir.name}-{now}')
        self.work_dir.rename(kept)
        print(f'Config, package or data changed; the earlier run is now {kept}.')
        self.record.start_over(kept)


def find_package() -> Path:
    """Return the folder of the installed package."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        raise Stop(
            f'{PACKAGE} is not installed for {sys.executable}; run `make demo`, which '
            'installs what is missing.'
        )
    return Path(found.origin).parent


def tool(verb: str) -> Path:
    """Return the script that `mim VERB mmdet_qrpaq` runs, which costs some seconds."""
    return find_package() / '.mim' / 'tools' / f'{verb}.py'


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
    parser.add_argument(
        '--verbose', action='store_true', help='show all that the commands print'
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
    demo = Demo(work_dir, options, args.verbose)
    try:
        find_package()
        training = demo.train(demo.make_data())
        checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
        written = checkpoint.stat()
        trained = fingerprint(training, written.st_size, written.st_mtime_ns)
        demo.test(checkpoint, trained)
        demo.draw(checkpoint, trained)
        show(CONFIG, work_dir, DATA, checkpoint)
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print('\nStopped. Run the same command again: it resumes where it was.')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
