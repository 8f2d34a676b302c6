#!/usr/bin/env python
"""Runs the demo (or finds it done) and records what it reached."""

import argparse
import json
import sys

import recording

sys.path.insert(0, str(recording.ROOT / 'tools'))
import demo  # noqa: E402  (a tool, not a package)
import demo_report  # noqa: E402
from demo_record import Record  # noqa: E402

WORK_DIR = recording.ROOT / 'work_dirs' / 'demo'


def measured() -> dict:
    """What the demo left, and what each step took, by the clock and of CPU.

    A training that was stopped took the time of all its parts.
    """
    seconds = Record(WORK_DIR).read()['seconds']
    return dict(
        **json.loads((WORK_DIR / 'ap_table.json').read_text())['AP'],
        gini=demo_report.read_gini(WORK_DIR),
        score_threshold=demo_report.read_score_threshold(WORK_DIR),
        training_minutes=round(seconds['train']['wall'] / 60, 1),
        seconds=seconds,
    )


def main() -> None:
    """Writes benchmarks/results/demo_digits.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    environment = recording.describe_environment()
    status = demo.main([])
    if status:
        sys.exit(status)
    path = recording.write(
        recording.RESULTS / 'demo_digits.json',
        'demo',
        environment,
        dict(config=str(demo.CONFIG), seed=0),
        measured(),
    )
    print(f'written: {path}')


if __name__ == '__main__':
    main()
