"""Turns the declaration of an analysis into a script: parse, check, measure, write."""

import argparse
from pathlib import Path

from .. import command_line
from ..errors import ConfigError
from ..records.provenance import describe_origin
from ..records.results import check_writable
from ..records.tables import print_table
from .section import Section
from .training_runs import add_run_arguments, read_runs


def run(section: Section, description: str) -> None:
    """Run an analysis as a script; see `command_line.run` for mistakes of the user.

    Args:
        description: For `--help`.
    """
    command_line.run(lambda: main(section, description))


def main(section: Section, description: str, argv: list[str] | None = None) -> None:
    """Measure, print the tables, write numbers and figure, and say where.

    Args:
        description: For `--help`.
        argv: Words of the command line; None are those of this process.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work, or the analysis
            does not apply.
    """
    args = parse_args(section, description, argv)
    command_line.load_package()

    from .measuring import measure, origin_of, write_measured
    from .trained_detector import check_data, read_models

    if section.subject == 'runs':
        file, figure_file = output_files(args.out, section.name, args.work_dirs[0])
        models = read_runs(args)
    else:
        folder = folder_beside(args.checkpoint, args.out)
        file, figure_file = output_files(args.out, section.name, folder)
        models = read_models(args, untrained=section.untrained)
        for model in models:
            check_data(model.cfg, model.split)
        # All of them now: a wrong checkpoint is told before the first is measured.
        for model in models:
            model.dataloader, model.detector  # noqa: B018
    options = section.choose(**vars(args))
    origin = describe_origin(**origin_of(section, models, options))
    numbers, figure = measure(section, models, options)
    for table in section.work.tables(numbers):
        print_table(table)
    write_measured(file, section, origin, numbers, figure)
    print(file, *[figure_file] * (figure is not None), sep='\n')


def parse_args(
    section: Section, description: str, argv: list[str] | None = None
) -> argparse.Namespace:
    """Parse the command line of a section."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    place = 'beside the checkpoint'
    if section.subject == 'runs':
        add_run_arguments(parser)
        place = 'in the first WORK_DIR'
    elif section.each:
        command_line.add_detector_arguments(parser)
        parser.set_defaults(also=[], name=None)
    else:
        command_line.add_model_arguments(parser)
    for option in section.options:
        option.add_to(parser)
    command_line.add_output_argument(parser, section.name, place)
    return parser.parse_args(argv)


def folder_beside(checkpoint: str, out: Path | None) -> Path:
    """Return where files go that nobody named: beside the checkpoint.

    Args:
        checkpoint: As the user gave it; `none` has the current folder.
        out: Value of `--out`, if given.

    Raises:
        ConfigError: `--out` is needed: an address has no folder.
    """
    from ..runtime.checkpoints import is_remote

    if out is None and is_remote(checkpoint):
        raise ConfigError(
            f'there is no folder beside {checkpoint}; say where with --out.'
        )
    return Path('.' if checkpoint == 'none' else checkpoint).parent


def output_files(out: Path | None, name: str, folder: Path) -> tuple[Path, Path]:
    """Return where numbers and figure go, after checking that they can be written.

    Args:
        out: Value of `--out`, if given.
        name: Stem of the files without `--out`.
        folder: Folder of the files without `--out`.

    Raises:
        ConfigError: `--out` does not end in .json, or nothing can be written there.
    """
    numbers = out or folder / f'{name}.json'
    if numbers.suffix != '.json':
        raise ConfigError(f'--out is {numbers}, which does not end in .json; add that.')
    figure = numbers.with_suffix('.png')
    for file in (numbers, figure):
        check_writable(file)
    return numbers, figure
