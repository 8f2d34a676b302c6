"""Turns the declaration of an analysis into a script: parse, check, measure, write."""

import argparse
from pathlib import Path

from .. import command_line
from ..records.provenance import describe_environment
from ..records.results import check_writable
from ..records.tables import print_table
from .section import Section


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

    file = args.out or section.subject.folder(args) / f'{section.name}.json'
    figure_file = file.with_suffix('.png')
    check_writable(file, '.json')
    check_writable(figure_file)
    subjects = section.subject.read(args)
    options = section.choose(**vars(args))
    origin = dict(origin_of(section, subjects, options), **describe_environment())
    numbers, figure = measure(section, subjects, options)
    for table in section.work.tables(numbers):
        print_table(table)
    write_measured(file, section, origin, numbers, figure)
    print(file, *[figure_file] * (figure is not None), sep='\n')


def parse_args(
    section: Section, description: str, argv: list[str] | None = None
) -> argparse.Namespace:
    """Parse the command line of a section."""
    parser = command_line.new_parser(description)
    section.subject.add_arguments(parser)
    for option in section.options:
        option.add_to(parser)
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.json',
        help='file for the numbers; the figure beside it has its name and .png '
        f'({section.name}.json {section.subject.place})',
    )
    return parser.parse_args(argv)
