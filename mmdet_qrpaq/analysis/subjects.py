"""What analyses are about: trained models, or the logs of trainings.

Script and report ask here for all in which the two differ. Nothing slow is imported
before the arguments are read.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .. import command_line
from ..errors import ConfigError

if TYPE_CHECKING:
    from .trained_detector import TrainedModel

NO_LOG = (
    '{} holds no training log (<time>/vis_data/scalars.json); give the work directory '
    'of a training run.'
)


@cache
def _copies() -> TemporaryDirectory:
    """Return where mended copies of annotation files live, as long as the process."""
    return TemporaryDirectory()


class Models:
    """Trained detectors, named by their configs and checkpoints.

    Args:
        each: Whether they are looked at one by one.
        untrained: Whether `none` may stand in place of a checkpoint.
    """

    place = 'beside the checkpoint'

    def __init__(self, each: bool = False, untrained: bool = False) -> None:
        self.each, self.untrained = each, untrained

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what names them to a command line."""
        command_line.add_model_arguments(parser, several=not self.each)

    def folder(self, args: argparse.Namespace) -> Path:
        """Return where files go that nobody named: of `none`, the current folder.

        Raises:
            ConfigError: `--out` is needed: an address has no folder.
        """
        from ..runtime.checkpoints import is_remote

        if args.out is None and is_remote(args.checkpoint):
            raise ConfigError(
                f'there is no folder beside {args.checkpoint}; say where with --out.'
            )
        return Path('.' if args.checkpoint == 'none' else args.checkpoint).parent

    def read(self, args: argparse.Namespace) -> 'list[TrainedModel]':
        """Return those that a command names, their data checked; see `read_models`."""
        from ..runtime.examining import use_sound_data
        from .trained_detector import read_models

        models = read_models(args, self.untrained)
        for number, model in enumerate(models):
            folder = Path(_copies().name, str(number))
            model.cfg.merge_from_dict(use_sound_data(model.cfg, (model.split,), folder))
        # All of them now: a wrong checkpoint is told before the first is measured.
        for model in models:
            model.dataloader, model.detector  # noqa: B018
        return models

    def of(self, models: 'Sequence[TrainedModel]') -> 'list[TrainedModel]':
        """Return what an analysis of these models is about: them."""
        return list(models)

    def origin(self, models: 'Sequence[TrainedModel]') -> dict[str, Any]:
        """Return what a result records of them."""
        return dict(models=[m.origin for m in models], split=models[0].split)


@dataclass(frozen=True)
class Run:
    """A training run; mmengine writes one log a start below its work directory.

    Attributes:
        name: In tables and legends; runs of one name are repetitions.
        work_dir: Where its logs are.
    """

    name: str
    work_dir: Path


def logs_of(work_dir: Path) -> list[Path]:
    """Return the logs of a run, one a start, in order."""
    return sorted(work_dir.glob('*/vis_data/scalars.json'))


class Runs:
    """Training runs, named by their work directories."""

    place = 'in the first WORK_DIR'
    each = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what names them to a command line."""
        help = "a run's --work-dir"
        parser.add_argument(
            'work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help=help
        )
        parser.add_argument(
            '--names',
            nargs='+',
            metavar='NAME',
            help="one for each WORK_DIR (the folders' names); the same for several: "
            'their mean and range',
        )

    def folder(self, args: argparse.Namespace) -> Path:
        """Return where files go that nobody named."""
        return args.work_dirs[0]

    def read(self, args: argparse.Namespace) -> list[Run]:
        """Return those that a command names; whole paths where two share a name.

        Raises:
            ConfigError: There are not as many names as runs, or one has no log.
        """
        names = args.names or [folder.name for folder in args.work_dirs]
        if not args.names and len(set(names)) < len(names):
            names = list(map(str, args.work_dirs))
        if len(names) != len(args.work_dirs):
            raise ConfigError(
                f'--names gives {len(names)} names for {len(args.work_dirs)} work '
                'directories; give one for each.'
            )
        runs = list(map(Run, names, args.work_dirs))
        if lacking := [run for run in runs if not logs_of(run.work_dir)]:
            raise ConfigError(NO_LOG.format(lacking[0].work_dir))
        return runs

    def of(self, models: 'Sequence[TrainedModel]') -> list[Run]:
        """Return the runs of models: logs, if any, lie beside the checkpoints."""
        return [Run(model.name, Path(model.checkpoint).parent) for model in models]

    def origin(self, runs: Sequence[Run]) -> dict[str, Any]:
        """Return what a result records of them; a log that has grown is another."""
        return dict(
            names=[run.name for run in runs],
            work_dirs=[str(run.work_dir) for run in runs],
            log_sizes=[
                sum(log.stat().st_size for log in logs_of(run.work_dir)) for run in runs
            ],
        )
