#!/usr/bin/env python
"""Make one HTML page of every analysis that applies to one or several models.

    python tools/analysis/report.py CONFIG CHECKPOINT --out report.html
    python tools/analysis/report.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT --out report.html

The page holds everything in it: pictures, tables, and how each was measured. What was
measured is kept in the folder report_files beside it and not measured again as long as
models, data and options stay the same. Exit status 1: an analysis failed; the page
says which, and holds the others.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import add_model_arguments, load_package, run

SECTIONS = (
    *('overview', 'precision', 'query_usage', 'routing', 'query_ablation'),
    *('pattern_weights', 'pattern_embedding', 'curves', 'efficiency'),
    *('sampling_points', 'side_by_side'),
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser, score_threshold=0.5)
    parser.add_argument(
        '--only',
        nargs='+',
        choices=SECTIONS,
        metavar='SECTION',
        help=f'only these: {", ".join(SECTIONS)}',
    )
    parser.add_argument(
        '--num-pictures', type=int, default=6, help='pictures side by side (6)'
    )
    parser.add_argument(
        '--repeats', type=int, default=20, help='timed predictions of a model (20)'
    )
    parser.add_argument('--title', help='heading of the page (the names of the models)')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.html',
        help='file to write (report.html beside the checkpoint)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure what applies, write the page and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
        SystemExit: An analysis failed; the page is written all the same.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data, check_fraction, check_writable

    from mmdet_qrpaq.analysis.report.page import render_page
    from mmdet_qrpaq.analysis.report.parts import FAILED, make_parts
    from mmdet_qrpaq.analysis.report.sections import Settings, list_sections
    from mmdet_qrpaq.analysis.trained_detector import read_models
    from mmdet_qrpaq.errors import ConfigError, check_number
    from mmdet_qrpaq.records.provenance import device_name

    check_fraction('--score-threshold', args.score_threshold)
    number = dict(low=1, whole=True)
    check_number('--num-pictures', args.num_pictures, **number, hint='usual: 6')
    check_number('--repeats', args.repeats, **number, hint='usual: 20')
    out = args.out or Path(args.checkpoint).parent / 'report.html'
    if out.suffix != '.html':
        raise ConfigError(f'--out is {out}, which does not end in .html; add that.')
    check_writable(out)
    models = read_models(args)
    for model in models:
        check_data(model.cfg, model.split)
    # All of them now: a wrong checkpoint is told before the first is measured.
    for model in models:
        model.dataloader, model.detector  # noqa: B018
    settings = Settings(
        num_pictures=args.num_pictures,
        score_threshold=args.score_threshold,
        repeats=args.repeats,
        hardware=device_name(),
    )
    sections = [
        section
        for section in list_sections(models, settings)
        if args.only is None or section.name in args.only
    ]
    parts = []
    for part in make_parts(sections, models, out.parent / f'{out.stem}_files'):
        print(f'  {part.status}' + (f': {part.sentence}' if part.sentence else ''))
        parts.append(part)
    title = args.title or f'Analysis of {", ".join(model.name for model in models)}'
    page = render_page(title, ' '.join(sys.argv), parts)
    draft = out.with_name(f'{out.name}.tmp')
    draft.write_text(page, encoding='utf-8')
    draft.replace(out)
    print(out)
    failed = [part.section.title for part in parts if part.status == FAILED]
    if failed:
        print(f'error: failed: {", ".join(failed)}; see above.', file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    run(main)
