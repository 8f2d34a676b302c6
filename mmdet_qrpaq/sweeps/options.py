"""The options that commands over sweeps share. Standard library only."""

import argparse
from functools import partial

from ..command_line import count
from ..data.options import add_data_options, add_run_options


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add seeds, data, budget, and where and how many at a time the runs are done."""
    parser.add_argument(
        '--seeds', type=partial(count, least=0), nargs='+', default=[0], metavar='N'
    )
    add_data_options(parser)
    length = parser.add_mutually_exclusive_group()
    add_run_options(parser, length)
    length.add_argument(
        '--iterations', type=count, help='length of a run, in mini-batches'
    )
    parser.add_argument(
        '--executor',
        choices=['local', 'slurm'],
        default='local',
        help='where the runs are done: on this machine (local), or on a cluster',
    )
    at_a_time = parser.add_mutually_exclusive_group()
    at_a_time.add_argument(
        '--jobs',
        type=count,
        default=1,
        metavar='N',
        help='runs at a time on this machine, which share out the processor cores (1)',
    )
    at_a_time.add_argument(
        '--gpus', type=count, metavar='N', help='one run at a time on each of N'
    )
    at_a_time.add_argument(
        '--slurm',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='options of sbatch for each run of --executor slurm: time=MINUTES, and '
        'what the cluster wants, e.g. partition=gpu cpus-per-task=8',
    )
