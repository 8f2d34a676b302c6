"""The command line of the report."""

import argparse
import sys
from pathlib import Path

from ... import command_line
from ...command_line import count, share
from ...records.results import check_writable, require_writable_folder
from ..cost.section import EFFICIENCY
from ..detections.section import OVERVIEW, PRECISION, SIDE_BY_SIDE
from ..diagnosis.section import (
    CALIBRATION,
    CONFUSION,
    ERROR_TYPES,
    THRESHOLDS,
    WORST_IMAGES,
)
from ..patterns.section import EMBEDDING, WEIGHTS
from ..queries.section import ABLATION, USAGE
from ..routing.section import ROUTING
from ..sampling.section import SAMPLING
from ..section import IOU_THRESHOLD, SCORE_THRESHOLD, Option
from ..subjects import Models
from ..training.section import CURVES

# In the order of the page.
SECTIONS = (
    *(OVERVIEW, PRECISION, THRESHOLDS, ERROR_TYPES, CONFUSION, CALIBRATION),
    *(USAGE, ROUTING, ABLATION, WEIGHTS, EMBEDDING, CURVES, EFFICIENCY, SAMPLING),
    *(SIDE_BY_SIDE, WORST_IMAGES),
)
EVERYWHERE = "in every section that has one (each section's own)"
OPTIONS = (
    Option('score_threshold', None, f'{SCORE_THRESHOLD}, {EVERYWHERE}', share),
    Option('iou_threshold', None, f'{IOU_THRESHOLD}, {EVERYWHERE}', share),
    Option('num_images', 6, 'images side by side', count, formerly='num-pictures'),
    *(option for option in EFFICIENCY.options if option.name == 'repeats'),
)


def parse_args(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.new_parser(description)
    command_line.add_model_arguments(parser)
    names = [section.name for section in SECTIONS]
    parser.add_argument(
        '--only',
        nargs='+',
        choices=names,
        metavar='SECTION',
        help=f'only these: {", ".join(names)}',
    )
    for option in OPTIONS:
        option.add_to(parser)
    parser.add_argument('--title', help='heading of the page (the names of the models)')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.html',
        help='file to write (report.html beside the checkpoint)',
    )
    return parser.parse_args(argv)


def main(description: str, argv: list[str] | None = None) -> None:
    """Measure what applies, write the page and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
        SystemExit: An analysis failed; the page is written all the same.
    """
    args = parse_args(description, argv)
    command_line.load_package()
    out = args.out or Models().folder(args) / 'report.html'
    check_writable(out, '.html')
    folder = out.parent / f'{out.stem}_files'
    require_writable_folder(str(folder), 'the folder of its numbers,')

    from . import parts as report
    from .page import write_page

    models = Models().read(args)
    chosen = {
        name: value
        for name, value in vars(args).items()
        if name.endswith('_threshold') and value is not None
    }
    # Less than the scripts show, so that the page stays readable.
    more = dict(
        efficiency=dict(repeats=args.repeats),
        sampling_points=dict(num_images=1, num_queries=3),
        side_by_side=dict(num_images=args.num_images),
        worst_images=dict(num_images=args.num_images),
    )
    sections = [
        (section, section.choose(**chosen, **more.get(section.name, {})))
        for section in SECTIONS
        if args.only is None or section.name in args.only
    ]
    title = args.title or f'Analysis of {", ".join(model.name for model in models)}'
    if failed := write_page(out, title, report.make_parts(sections, models, folder)):
        print(f'error: failed: {", ".join(failed)}; see above.', file=sys.stderr)
        sys.exit(1)
