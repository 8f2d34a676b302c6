#!/usr/bin/env python
"""Draw validation pictures with ground truth beside the detections of some models.

    python tools/analysis/side_by_side.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/side_by_side.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT

Detections are marked as right or wrong and, with several models, where another one has
none like it.
"""

import argparse
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import (
    add_model_arguments,
    add_output_argument,
    load_package,
    run,
)

NAME = 'side_by_side'
BEST = 'best'


def threshold(text: str) -> float | str:
    """Read a number, or the word for the best one."""
    return text if text == BEST else float(text)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Validation pictures: ground truth | detections of each model.'
    )
    add_model_arguments(parser, iou_threshold=0.5)
    parser.add_argument(
        '--score-threshold',
        type=threshold,
        default=0.5,
        metavar=f'NUMBER|{BEST}',
        help='least score of a prediction that counts (0.5); or the one with the '
        f'{BEST} F1, for which all pictures are looked at',
    )
    parser.add_argument(
        '--num-pictures', type=int, default=12, help='pictures to draw (12)'
    )
    parser.add_argument(
        '--select',
        choices=['differing', 'spread'],
        help='draw the pictures in which the models differ most (of one model: with '
        'the most mistakes), or pictures spread evenly over the data (differing with '
        'several models, else spread)',
    )
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw, write and say where.

    Raises:
        ConfigError: An option, config, checkpoint or data cannot work.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data, check_fraction
    from output import output_files

    from mmdet_qrpaq.analysis.detections.drawing import draw_side_by_side
    from mmdet_qrpaq.analysis.detections.score_threshold import find_score_threshold
    from mmdet_qrpaq.analysis.detections.side_by_side import (
        SCHEMA,
        chosen,
        collect_numbers,
        look_at_pictures,
    )
    from mmdet_qrpaq.analysis.trained_detector import read_models
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result

    thresholds = dict(
        score_threshold=args.score_threshold, iou_threshold=args.iou_threshold
    )
    for name, value in thresholds.items():
        if value != BEST:
            check_fraction(f'--{name.replace("_", "-")}', value)
    table, picture = output_files(args.out, NAME, Path(args.checkpoint).parent)
    models = read_models(args)
    for model in models:
        check_data(model.cfg, model.split)
    select = args.select or ('differing' if len(models) > 1 else 'spread')
    reason = 'as given'
    if args.score_threshold == BEST:
        least, f1 = find_score_threshold(models, args.iou_threshold)
        thresholds['score_threshold'] = least
        reason = f'best F1 on {args.split}: {f1:.2f}'
        print(f'score threshold {least:g}, {reason}')
    scenes = look_at_pictures(
        models, num_pictures=args.num_pictures, select=select, **thresholds
    )
    drawn = chosen(scenes, args.num_pictures)
    names = [model.name for model in models]
    origin = describe_origin(
        models=[model.origin for model in models],
        split=args.split,
        score_threshold=reason,
    )
    numbers = collect_numbers(names, scenes, drawn, select=select, **thresholds)
    write_result(table, NAME, origin, numbers, SCHEMA)
    meta = models[0].dataloader.dataset.metainfo
    figure = draw_side_by_side(drawn, names, meta, **thresholds, reason=reason)
    figure.savefig(picture, dpi=120)
    for row in numbers['models']:
        counts = ', '.join(f'{row[k]} {k}' for k in row if k != 'name')
        print(f'{row["name"]}, {len(scenes)} pictures: {counts}')
    print(table, picture, sep='\n')


if __name__ == '__main__':
    run(main)
