#!/usr/bin/env python
"""Runs the demo (or finds it done) and records what it reached."""

import argparse
import json
import sys

import recording

sys.path.insert(0, str(recording.ROOT / 'tools'))
import demo  # noqa: E402  (a tool, not a package)

WORK_DIR = recording.ROOT / 'work_dirs' / 'demo'


def training_seconds() -> float:
    """Time of all training iterations, data loading included, without validation.

    A resumed run does some iterations again; the later time counts.
    """
    times = {}
    for log in sorted(WORK_DIR.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                times[entry['iter']] = entry['time']
    # `time` is the mean over the iterations since the entry before.
    steps = sorted(times)
    gaps = [end - start for start, end in zip([0, *steps], steps, strict=False)]
    return sum(times[step] * gap for step, gap in zip(steps, gaps, strict=True))


def main() -> None:
    """Writes benchmarks/results/demo_digits.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    environment = recording.describe_environment()
    status = demo.main([])
    if status:
        sys.exit(status)
    table = json.loads((WORK_DIR / 'ap_table.json').read_text())
    path = recording.write(
        recording.RESULTS / 'demo_digits.json',
        'demo',
        environment,
        dict(config=str(demo.CONFIG), seed=0),
        dict(
            **table['AP'],
            gini=demo.read_gini(WORK_DIR),
            training_minutes=round(training_seconds() / 60, 1),
        ),
    )
    print(f'written: {path}')


if __name__ == '__main__':
    main()
