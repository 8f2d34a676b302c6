#!/usr/bin/env python
"""Run the demo (or find it done) and record what it reached."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import recording
from mmdet_qrpaq.records.provenance import ROOT, describe_environment

WORK_DIR = ROOT / 'work_dirs' / 'demo'


def read(name: str) -> dict:
    """Return a JSON file of the demo."""
    return json.loads((WORK_DIR / f'{name}.json').read_text())


def measured() -> dict:
    """Return what the demo left, and what each step took, by the clock and of CPU.

    A training that was stopped took the time of all its parts.
    """
    seconds = read('demo')['seconds']
    return dict(
        **read('ap_table')['AP'],
        gini=read('query_usage')['numbers']['models'][0]['gini'],
        score_threshold=read('val_predictions')['numbers']['score_threshold'],
        training_minutes=round(seconds['train']['wall'] / 60, 1),
        seconds=seconds,
    )


def main() -> None:
    """Write benchmarks/results/demo_digits.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    environment = describe_environment()
    done = subprocess.run([sys.executable, ROOT / 'tools' / 'demo.py'])
    if done.returncode:
        sys.exit(done.returncode)
    path = recording.write(
        recording.RESULTS / 'demo_digits.json',
        'demo',
        environment,
        dict(config='configs/paq_dino_r18_digits_demo.py', seed=0),
        measured(),
    )
    print(f'written: {path}')


if __name__ == '__main__':
    main()
