"""Training runs to look at: named on a command line, or found beside checkpoints.

mmengine writes one `<time>/vis_data/scalars.json` a start below a work directory.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from .trained_detector import TrainedModel


@dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
        name: In tables and legends; runs of one name are repetitions.
        work_dir: Where its logs are.
    """

    name: str
    work_dir: Path

    @property
    def log_size(self) -> int:
        """Bytes of all logs; they tell a training that went on from what it was."""
        return sum(log.stat().st_size for log in logs_of(self.work_dir))


def logs_of(work_dir: Path) -> list[Path]:
    """Return the logs of a run, one a start, in order."""
    return sorted(work_dir.glob('*/vis_data/scalars.json'))


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a tool that analyses training runs."""
    parser.add_argument(
        'work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help="a run's --work-dir"
    )
    parser.add_argument(
        '--names',
        nargs='+',
        metavar='NAME',
        help="one for each WORK_DIR (the folders' names); the same for several: their "
        'mean and range',
    )


def read_runs(args: argparse.Namespace) -> list[Run]:
    """Return the runs that a command names.

    Args:
        args: What a parser with `add_run_arguments` returned.

    Raises:
        ConfigError: There are not as many names as runs.
    """
    names = args.names or _name_apart(args.work_dirs)
    if len(names) != len(args.work_dirs):
        raise ConfigError(
            f'--names gives {len(names)} names for {len(args.work_dirs)} work '
            'directories; give one for each.'
        )
    return list(map(Run, names, args.work_dirs))


def runs_of(models: 'Sequence[TrainedModel | Run]') -> list[Run]:
    """Return the runs of models that have a log beside their checkpoint.

    Args:
        models: Or runs, which are returned.
    """

    runs = [
        model
        if isinstance(model, Run)
        else Run(model.name, Path(model.checkpoint).parent)
        for model in models
    ]
    return [
        r for r, model in zip(runs, models, strict=True) if r is model or r.log_size
    ]


def _name_apart(work_dirs: Sequence[Path]) -> list[str]:
    """Return the folders' names, or whole paths where two have one name."""
    names = [folder.name for folder in work_dirs]
    return names if len(set(names)) == len(names) else [str(f) for f in work_dirs]
