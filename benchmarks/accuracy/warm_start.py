#!/usr/bin/env python
"""Train hosts, convert them, and train on, beside trainings from nothing.

    python tools/dataset/make_digits.py
    python benchmarks/accuracy/warm_start.py --seeds 0 1 2

Through the tools that users call. What a stopped command has finished in the work
folder is not done again. Writes benchmarks/results/warm_start.json.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from mmdet_qrpaq.records.provenance import ROOT, describe_environment

HOST = 'configs/dino_r18_4e_digits.py'
METHODS = {
    name: f'configs/{name}_dino_r18_4e_digits.py' for name in ('qr', 'paq', 'qrpaq')
}
TRAINED_ON = ('paq',)  # the others are tested as they are converted
MODEL = ('model.backbone.base_channels=32', 'model.neck.in_channels=[64,128,256]')
RUN = (
    'train_dataloader.batch_size=4',
    *(
        f'{loader}_dataloader.dataset.pipeline.{place}.scale=(64,64)'
        for loader, place in (('train', 2), ('val', 1), ('test', 1))
    ),
    'optim_wrapper.optimizer.fused=True',
)
LAST = 'epoch_4.pth'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--work-dir', type=Path, default=ROOT / 'work_dirs' / 'warm_start'
    )
    return parser.parse_args(argv)


class Seed:
    """All runs of a seed.

    Args:
        folder: Where they go, a folder each.
        seed: Of all trainings.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.options = ['--cfg-options', *MODEL, *RUN, f'randomness.seed={seed}']

    def run(self) -> dict:
        """Do what is not done; return what was measured."""
        host = self.train('host', HOST) / LAST
        rows = {}
        for name, config in METHODS.items():
            start, told = self.convert(name, config, host)
            row = dict(converted=self.test(f'{name}_start', config, start))
            if error := re.search(r'relative error ([\d.]+)', told):
                row['relative_error'] = float(error[1])
            if name in TRAINED_ON:
                warm = self.train(f'{name}_warm', config, f'load_from={start}')
                row['warm'] = curve(warm)
                row['cold'] = curve(self.train(f'{name}_cold', config))
            rows[name] = row
        longer = self.train('host_warm', HOST, f'load_from={host}')
        host_ap = self.test('host_test', HOST, host)
        return dict(host=host_ap, host_longer=curve(longer), methods=rows)

    def train(self, name: str, config: str, *options: str) -> Path:
        """Train a config; return the folder of the run."""
        folder = self.folder / f'{name}_{self.seed}'
        if not (folder / LAST).exists():
            call('train', config, '--work-dir', folder, *self.options, *options)
        return folder

    def convert(self, name: str, config: str, host: Path) -> tuple[Path, str]:
        """Convert a host; return the checkpoint and what was printed."""
        start = self.folder / f'{name}_{self.seed}.pth'
        told = self.folder / f'convert_{name}_{self.seed}.txt'
        if not start.exists():
            words = ('model/convert', config, host, '--out', start)
            told.write_text(call(*words, '--cfg-options', *MODEL))
        return start, told.read_text()

    def test(self, name: str, config: str, checkpoint: Path) -> float:
        """Return the AP of a checkpoint."""
        folder = self.folder / f'{name}_{self.seed}'
        if not list(folder.glob('*/*.json')):
            call('test', config, checkpoint, '--work-dir', folder, *self.options)
        (scores,) = folder.glob('*/*.json')
        return json.loads(scores.read_text())['coco/bbox_mAP']


def call(tool: str, *words: object) -> str:
    """Run a tool of this checkout; its errors go through."""
    command = [sys.executable, str(ROOT / f'tools/{tool}.py'), *map(str, words)]
    print(f'$ {shlex.join(command)}', flush=True)
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def curve(folder: Path) -> list[float]:
    """Return the AP of each validation of a run."""
    from mmdet_qrpaq.analysis.training.history import AP, read_history

    return [record[AP] for record in read_history(folder).val]


def main() -> None:
    """Write benchmarks/results/warm_start.json."""
    args = parse_args()
    environment = describe_environment()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    measured = {
        str(seed): Seed(args.work_dir.absolute(), seed).run() for seed in args.seeds
    }
    settings = dict(options=[*MODEL, *RUN], epochs=4)
    path = recording.RESULTS / 'warm_start.json'
    print(recording.write(path, 'warm_start', environment, settings, measured))


if __name__ == '__main__':
    main()
